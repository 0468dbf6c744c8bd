-- Takes every charge or none, at the instant `now`, in microseconds since 1970.
--
-- KEYS: the counter of each charge. ARGV: six fields for each charge,
--   'rate',  '<scale> <step> <capacity>', capacity in us and ticks, cost in us (-1: never) and ticks
--   'quota', refill, limit, cost, '', ''
-- An instant of a rate limit is a pair of whole microseconds and ticks, 1/scale of one: in
-- one number it would not fit the 53 bits that are exact here.
--
-- Answers {1}, or {0, charge, microseconds to wait or -1, window of a quota or -1, now}.

local FIELDS = 6
-- A counter outlives its use by a minute, for a clock that steps back.
local SPARE_MS = 60000
local DAY = 86400000000
local HOUR = 3600000000
local LONGEST_MS = { hour = 3600000, day = 86400000, week = 604800000, month = 2678400000, year = 31622400000 }

local floor = math.floor
local function whole(a, b) return (a - math.fmod(a, b)) / b end

-- Year and month of a day since 1970 (civil_from_days by Howard Hinnant).
local function civil(day)
  local z = day + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return year, month
end

local function window(refill, at)
  if refill == 'hour' then return whole(at, HOUR) end
  local day = whole(at, DAY)
  if refill == 'day' then return day end
  if refill == 'week' then return floor((day + 3) / 7) end
  local year, month = civil(day)
  if refill == 'month' then return (year - 1970) * 12 + month - 1 end
  return year - 1970
end

local function scale_of(terms) return tonumber(string.match(terms, '^%d+')) end

local function sum(us, ticks, more_us, more_ticks, scale)
  us, ticks = us + more_us, ticks + more_ticks
  if ticks >= scale then return us + 1, ticks - scale end
  if ticks < 0 then return us - 1, ticks + scale end
  return us, ticks
end

local function is_after(us, ticks, other_us, other_ticks)
  return us > other_us or (us == other_us and ticks > other_ticks)
end

local kinds = {}

kinds.rate = {
  read = function(text, terms)
    if not text then return { us = 0, ticks = 0, terms = terms } end
    local us, ticks, stored = string.match(text, '^rate (%d+) (%d+) (%d+ %d+ %d+)$')
    return us and { us = tonumber(us), ticks = tonumber(ticks), terms = stored }
  end,
  -- As long a wait as before, at most with nothing left.
  carry = function(cell, terms, capacity_us, capacity_ticks)
    local scale, before = scale_of(terms), scale_of(cell.terms)
    local us, ticks = sum(cell.us, math.ceil(cell.ticks * scale / before), 0, 0, scale)
    local empty_us, empty_ticks = sum(now, 0, capacity_us, capacity_ticks, scale)
    if is_after(us, ticks, empty_us, empty_ticks) then us, ticks = empty_us, empty_ticks end
    return { us = us, ticks = ticks, terms = terms }
  end,
  take = function(cell, terms, capacity_us, capacity_ticks, cost_us, cost_ticks)
    if cost_us < 0 then return nil, -1, -1 end
    local scale = scale_of(terms)
    local us, ticks = cell.us, cell.ticks
    if us < now then us, ticks = now, 0 end
    local latest_us, latest_ticks =
      sum(now + capacity_us, capacity_ticks, -cost_us, -cost_ticks, scale)
    if is_after(us, ticks, latest_us, latest_ticks) then
      local wait = us - latest_us
      if ticks > latest_ticks then wait = wait + 1 end
      return nil, wait, -1
    end
    us, ticks = sum(us, ticks, cost_us, cost_ticks, scale)
    return { us = us, ticks = ticks, terms = terms }
  end,
  write = function(cell)
    local text = string.format('rate %.0f %.0f %s', cell.us, cell.ticks, cell.terms)
    return text, math.max(0, math.ceil((cell.us + 1 - now) / 1000))
  end,
}

kinds.quota = {
  read = function(text, terms)
    if not text then return { at = now, units = 0, terms = terms } end
    local at, units, stored = string.match(text, '^quota (%d+) (%d+) (%a+)$')
    return at and { at = tonumber(at), units = tonumber(units), terms = stored }
  end,
  -- As many units as before, in the window that holds both instants or the later one.
  carry = function(cell, terms)
    local units = cell.units
    if window(cell.terms, now) > window(cell.terms, cell.at) then units = 0 end
    return { at = math.max(cell.at, now), units = units, terms = terms }
  end,
  take = function(cell, terms, limit, cost)
    local at, units = cell.at, cell.units
    if window(terms, now) > window(terms, at) then at, units = now, 0 end
    local held = window(terms, at)
    if units + cost > limit then return nil, cost > limit and -1 or 0, held end
    return { at = math.max(at, now), units = units + cost, terms = terms }
  end,
  write = function(cell)
    local text = string.format('quota %.0f %.0f %s', cell.at, cell.units, cell.terms)
    return text, LONGEST_MS[cell.terms] + math.ceil((cell.at - now) / 1000)
  end,
}

local function write(key, kind, cell)
  local text, ms = kind.write(cell)
  redis.call('SET', key, text, 'PX', string.format('%.0f', ms + SPARE_MS))
end

-- By key: the counter before this call, and after what has been taken of it so far.
local kept, taken = {}, {}
local denied

for i, key in ipairs(KEYS) do
  local first = (i - 1) * FIELDS
  local kind, terms = kinds[ARGV[first + 1]], ARGV[first + 2]
  local a, b = tonumber(ARGV[first + 3]), tonumber(ARGV[first + 4])
  local c, d = tonumber(ARGV[first + 5]), tonumber(ARGV[first + 6])
  local cell = taken[key]
  if not cell then
    cell = kind.read(redis.call('GET', key), terms)
    if not cell then
      return redis.error_reply('KEYWARD ' .. key .. ' holds something else than a counter')
    end
  end
  if cell.terms ~= terms then
    cell = kind.carry(cell, terms, a, b)
    -- Kept even if nothing is taken: else its wait would begin anew with each attempt.
    if not taken[key] then kept[key] = { kind = kind, cell = cell } end
  end
  local after, wait, held = kind.take(cell, terms, a, b, c, d)
  if not after then
    denied = { 0, i, wait, held, now }
    break
  end
  taken[key] = after
end

if denied then
  for key, it in pairs(kept) do write(key, it.kind, it.cell) end
  return denied
end
for i, key in ipairs(KEYS) do
  local cell = taken[key]
  if cell then write(key, kinds[ARGV[(i - 1) * FIELDS + 1]], cell) end
  taken[key] = nil
end
return { 1 }
