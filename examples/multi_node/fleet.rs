use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use keyward::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep};

use crate::node::Place;
use crate::proxy::{Line, Proxy};
use crate::report::millis;
use crate::verdict::Verdict;
use crate::{DATABASE, PEPPER, Result};

/// The verifier processes.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    keys: usize,
}

/// One of them, as it is seen from outside.
pub(crate) struct Node {
    pub(crate) database: Proxy,
    pub(crate) hints: Proxy,
    input: ChildStdin,
    said: Arc<Mutex<Said>>,
    child: Child,
}

#[derive(Default)]
struct Said {
    /// By index of the key.
    turns: Vec<Vec<Turn>>,
    answers: Vec<Vec<Verdict>>,
    rewritten: Vec<Timestamp>,
    has_ended: bool,
}

/// A change of a node's mind about a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) verdict: Verdict,
    pub(crate) asked: Timestamp,
    pub(crate) at: Timestamp,
    /// When it last answered as before.
    pub(crate) before: Timestamp,
}

impl Fleet {
    /// Starts so many, each behind two proxies of its own.
    pub(crate) async fn start(
        nodes: usize,
        url: &str,
        server: &str,
        schema: &str,
        pepper: &str,
    ) -> Result<Self> {
        let mut started = Vec::new();
        for _ in 0..nodes {
            let (database, hints) =
                (Proxy::before(server.into()).await?, Proxy::before(server.into()).await?);
            let schema = schema.to_owned();
            let place = Place { database: database.port(), hints: hints.port(), schema };
            let mut child = Command::new(std::env::current_exe()?)
                .args(place.arguments())
                .env(DATABASE, url)
                .env(PEPPER, pepper)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let said = Arc::<Mutex<Said>>::default();
            let input = child.stdin.take().ok_or("a node has no input")?;
            let output = child.stdout.take().ok_or("a node has no output")?;
            tokio::spawn(listen(output, Arc::clone(&said)));
            started.push(Node { database, hints, input, said, child });
        }
        Ok(Self { nodes: started, keys: 0 })
    }

    /// Has a key presented to every node from now on, and gives its index.
    pub(crate) async fn present(&mut self, token: &str) -> Result<usize> {
        self.say(&format!("key {token}\n")).await?;
        self.keys += 1;
        Ok(self.keys - 1)
    }

    /// Has it presented each millisecond, until it is refused.
    pub(crate) async fn look_closely(&mut self, key: usize) -> Result {
        self.say(&format!("near {key}\n")).await
    }

    /// What each node says now to each key.
    pub(crate) async fn ask(&mut self) -> Result<Vec<Vec<Verdict>>> {
        self.nodes.iter().for_each(|node| node.said().answers.clear());
        self.say("ask\n").await?;
        let all = |fleet: &Self| fleet.nodes.iter().all(|node| !node.said().answers.is_empty());
        if !self.until(Duration::from_secs(60), all).await? {
            return Err("a node does not answer".into());
        }
        Ok(self.nodes.iter().filter_map(|node| node.said().answers.pop()).collect())
    }

    /// Waits until it is so, and says whether it came to that.
    pub(crate) async fn until(
        &self,
        limit: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<bool> {
        let start = Instant::now();
        while !is_so(self) {
            if self.nodes.iter().any(|node| node.said().has_ended) {
                return Err("a node has ended".into());
            }
            if start.elapsed() > limit {
                return Ok(false);
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(true)
    }

    /// Whether every node's last word on these keys was this.
    pub(crate) fn all_say(&self, keys: &[usize], verdict: Verdict) -> bool {
        self.nodes.iter().all(|node| keys.iter().all(|key| node.says(*key) == Some(verdict)))
    }

    pub(crate) fn set_lines(&self, line: Line) {
        self.nodes.iter().for_each(|node| node.set_lines(line));
    }

    /// How often a node accepted one of these keys after it had refused it.
    pub(crate) fn resurrections(&self, keys: &[usize]) -> usize {
        let of_key = |node: &Node, key: usize| {
            let turns = node.turns(key).into_iter().map(|turn| turn.verdict);
            let after = turns.skip_while(|verdict| *verdict != Verdict::Refused);
            after.filter(|verdict| *verdict == Verdict::Accepted).count()
        };
        let of_node = |node| keys.iter().map(|key| of_key(node, *key)).sum::<usize>();
        self.nodes.iter().map(of_node).sum()
    }

    pub(crate) async fn end(self) -> Result {
        for Node { input, mut child, .. } in self.nodes {
            drop(input);
            child.wait().await?;
        }
        Ok(())
    }

    async fn say(&mut self, line: &str) -> Result {
        for node in &mut self.nodes {
            node.input.write_all(line.as_bytes()).await?;
        }
        Ok(())
    }
}

impl Node {
    pub(crate) fn set_lines(&self, line: Line) {
        self.database.set(line);
        self.hints.set(line);
    }

    pub(crate) fn turns(&self, key: usize) -> Vec<Turn> {
        self.said().turns.get(key).cloned().unwrap_or_default()
    }

    /// Its last word on a key.
    pub(crate) fn says(&self, key: usize) -> Option<Verdict> {
        self.turns(key).last().map(|turn| turn.verdict)
    }

    /// When it first said this to a key, at or after `since`.
    pub(crate) fn first(
        &self,
        key: usize,
        verdict: Verdict,
        since: Timestamp,
    ) -> Option<Timestamp> {
        let mut turns = self.turns(key).into_iter();
        turns.find(|turn| turn.verdict == verdict && turn.at >= since).map(|turn| turn.at)
    }

    /// When it first answered 503 to any key, at or after `since`.
    pub(crate) fn closed(&self, since: Timestamp) -> Option<Timestamp> {
        self.turns_since(since, true).map(|turn| turn.at).min()
    }

    /// When it first answered anything else again.
    pub(crate) fn opened(&self, since: Timestamp) -> Option<Timestamp> {
        self.turns_since(since, false).map(|turn| turn.at).min()
    }

    /// How long a client waited for a 503, in milliseconds.
    pub(crate) fn longest_wait(&self, since: Timestamp) -> f64 {
        self.turns_since(since, true).map(|turn| millis(turn.at, turn.asked)).fold(0.0, f64::max)
    }

    /// Turns to 503, or those to something else, about any key.
    fn turns_since(&self, since: Timestamp, to_503: bool) -> impl Iterator<Item = Turn> {
        let turns: Vec<Turn> = self.said().turns.iter().flatten().copied().collect();
        let is_so = move |turn: &Turn| (turn.verdict == Verdict::Unavailable) == to_503;
        turns.into_iter().filter(move |turn| is_so(turn) && turn.at >= since)
    }

    /// When it last accepted a key; the end of time if it still does.
    pub(crate) fn last_accepted(&self, key: usize) -> Option<Timestamp> {
        let turns = self.turns(key);
        let last = turns.iter().rposition(|turn| turn.verdict == Verdict::Accepted)?;
        Some(turns.get(last + 1).map_or(Timestamp::MAX, |turn| turn.before))
    }

    /// When it found, at or after `since`, that the log was not the one it knew.
    pub(crate) fn rewritten(&self, since: Timestamp) -> Option<Timestamp> {
        self.said().rewritten.iter().copied().find(|at| *at >= since)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap()
    }
}

/// Takes down what a node says, until it ends.
async fn listen(output: ChildStdout, said: Arc<Mutex<Said>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        said.lock().unwrap().hear(&line);
    }
    said.lock().unwrap().has_ended = true;
}

impl Said {
    fn hear(&mut self, line: &str) -> Option<()> {
        let at = |word: &str| word.parse().ok().map(Timestamp::from_micros);
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["turned", key, verdict, asked, answered, before] => {
                let key: usize = key.parse().ok()?;
                let verdict = verdict.chars().next().and_then(Verdict::from_letter)?;
                let (asked, before) = (at(asked)?, at(before)?);
                let turn = Turn { verdict, asked, at: at(answered)?, before };
                self.turns.resize_with(self.turns.len().max(key + 1), Vec::new);
                self.turns.get_mut(key)?.push(turn);
            }
            ["answers", letters] => {
                self.answers.push(letters.chars().filter_map(Verdict::from_letter).collect());
            }
            ["rewritten", when] => self.rewritten.push(at(when)?),
            _ => {}
        }
        Some(())
    }
}
