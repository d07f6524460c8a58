// The two things every module does to the document.

/** The element with an id. */
export const $ = (id) => document.getElementById(id);

/** A new element; properties are set, `data` goes to its dataset, children are appended (strings as text). */
export function element(tag, { data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}
