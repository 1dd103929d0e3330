// Takes a guess on a logarithmic scale. The guess is made by the first move: until then the
// handle stands in the middle, gray, so that its place suggests nothing.

const STEPS = 1000;

const rounded = (value) => Number(value.toPrecision(2));

function words(value, unit) {
  if (unit !== "s") return `${value.toLocaleString("en")}${unit ? `\u00a0${unit}` : ""}`;
  return value >= 1 ? `${value}\u00a0s` : `${rounded(value * 1000)}\u00a0ms`;
}

function element(name, className, parent) {
  const node = document.createElement(name);
  if (className) node.className = className;
  parent.append(node);
  return node;
}

function render({ model, el }) {
  const [low, high] = [Math.log10(model.get("low")), Math.log10(model.get("high"))];
  const box = element("div", "lc-guess", el);
  element("p", "", box).textContent = model.get("question");
  const row = element("div", "lc-guess-row", box);
  const scale = element("div", "lc-guess-scale", row);
  const input = element("input", "", scale);
  Object.assign(input, { type: "range", min: 0, max: STEPS, step: 1 });
  input.setAttribute("aria-label", model.get("question"));
  const ticks = element("div", "lc-guess-ticks", scale);
  for (let power = Math.ceil(low - 1e-9); power <= high + 1e-9; power += 1) {
    const tick = element("span", "", ticks);
    // Any unit but seconds is said once, beside the guess.
    const unit = model.get("unit") === "s" ? "s" : "";
    tick.textContent = words(Number((10 ** power).toPrecision(1)), unit);
    tick.style.left = `${((power - low) / (high - low)) * 100}%`;
  }
  const value = element("div", "lc-guess-value", row);
  value.setAttribute("role", "status");

  function show() {
    const guess = model.get("guess");
    box.toggleAttribute("data-made", guess !== null);
    const share = guess === null ? 0.5 : (Math.log10(guess) - low) / (high - low);
    input.value = Math.round(share * STEPS);
    const figure = guess === null ? "?" : words(guess, model.get("unit"));
    value.textContent = figure;
    element("small", "", value).textContent = guess === null ? "move it to guess" : "your guess";
    input.setAttribute("aria-valuetext", guess === null ? "no guess yet" : figure);
  }

  // JupyterLab gives the arrow keys to the notebook; Shift+Enter is still its own.
  input.addEventListener("keydown", (event) => {
    if (/^(Arrow|Page|Home|End)/.test(event.key)) event.stopPropagation();
  });
  input.addEventListener("input", () => {
    const share = Number(input.value) / STEPS;
    model.set("guess", rounded(10 ** (low + share * (high - low))));
    model.save_changes();
  });
  show();
  model.on("change:guess", show);
  return () => model.off("change:guess", show);
}

export default { render };
