// The roles of a key: chosen from those there are, several if need be.

import { h } from "./dom.js";
import { select } from "./field.js";
import { tagsField } from "./tags.js";

const nameOf = (role) => (typeof role === "string" ? role : role.name);

/** `known` are the names of roles, or objects with a `name`. */
export function rolesField(known, values) {
  const names = known.map(nameOf);
  const made = tagsField({
    name: "roles",
    label: "Role",
    hint: names.length > 0
      ? "A role brings its permissions, now and as they change. Choose by least privilege."
      : "Names of roles, if this service has any.",
    placeholder: names.length > 0 ? "or type a name" : "viewer",
    values,
    suggestions: names,
    split: /[,;\n]+/,
  });
  if (names.length > 0) {
    const pick = select("role", [["", "Choose a role…"], ...names.map((name) => [name, name])], "", { "aria-label": "Choose a role" });
    pick.addEventListener("change", () => {
      if (pick.value) made.add(pick.value);
      pick.value = "";
    });
    made.node.querySelector(".tags").before(h("div", { class: "pick" }, pick));
  }
  return made;
}
