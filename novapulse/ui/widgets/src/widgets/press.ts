// A button that Python hears, there only while it stands for something.

import { h, tell } from "../dom";
import { text, widget } from "../live";

export default widget("press", ({ model, root, body }) => {
  const button = body.appendChild(h("button"));
  button.type = "button";
  button.addEventListener("click", () => model.send({ type: "pressed" }));
  root.hidden = true;
  return {
    state: (state) => {
      tell(button, text(state["text"]));
      root.hidden = button.textContent === "";
    },
  };
});
