// Links for the keyboard, seen only while one has the focus: each leads to a place of the page, and to nowhere else.
// The page itself can have none: what shows it turns an address on the same page into one of another.

import { h } from "../dom";
import { plain, text, widget } from "../live";

export default widget("skips", ({ model, head, body }) => {
  head.remove();
  const links = Object.entries(plain(model.get("links"))).map(([words, id]) => {
    const link = h("a", "", words);
    link.href = `#${text(id)}`;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const place = document.getElementById(text(id));
      place?.classList.add("np-asked");
      place?.focus();
      place?.scrollIntoView({ block: "nearest" });
    });
    return link;
  });
  body.append(...links);
  return {};
});
