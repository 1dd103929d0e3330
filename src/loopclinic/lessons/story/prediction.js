// Takes a guess on a logarithmic scale. The guess is made by the first move: until then the
// handle stands in the middle, gray, so that its place suggests nothing.

const STEPS = 1000;

// Two digits; of anything but seconds a whole number.
const rounded = (value, unit = "s") => Number((unit === "s" ? value : Math.round(value) || value).toPrecision(2));

function words(value, unit) {
  if (unit !== "s") {
    const one = value === 1 && /^[a-z]+$/i.test(unit);
    const name = one ? unit.replace(/s$/, "") : unit;
    return `${value.toLocaleString("en")}${name ? `\u00a0${name}` : ""}`;
  }
  return value >= 1 ? `${value}\u00a0s` : `${rounded(value * 1000)}\u00a0ms`;
}

// Both ends of a scale given by its logarithms, and the round numbers between that keep clear of
// them: [number, share of the way].
function marks(low, high) {
  const share = (at) => (Math.log10(at) - low) / (high - low);
  const digits = high - low < 1.5 ? [1, 2, 5] : [1];
  const round = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    round.push(...digits.map((digit) => Number((digit * 10 ** power).toPrecision(1))));
  }
  const between = round.filter((at) => share(at) > 0.1 && share(at) < 0.9);
  return [10 ** low, ...between, 10 ** high].map((at) => [Number(at.toPrecision(3)), share(at)]);
}

function element(name, className, parent) {
  const node = document.createElement(name);
  if (className) node.className = className;
  parent.append(node);
  return node;
}

function render({ model, el }) {
  const [low, high] = [Math.log10(model.get("low")), Math.log10(model.get("high"))];
  const box = element("div", "lc lc-panel lc-guess", el);
  keepsNotebookStill(box);
  element("p", "lc-say", box).textContent = model.get("question");
  const row = element("div", "lc-guess-row", box);
  const scale = element("div", "lc-guess-scale", row);
  const input = element("input", "", scale);
  Object.assign(input, { type: "range", min: 0, max: STEPS, step: 1 });
  input.setAttribute("aria-label", model.get("question"));
  const ticks = element("div", "lc-guess-ticks", scale);
  for (const [at, share] of marks(low, high)) {
    const tick = element("span", "", ticks);
    // Any unit but seconds is said once, beside the guess.
    tick.textContent = words(at, model.get("unit") === "s" ? "s" : "");
    tick.style.left = `${share * 100}%`;
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

  input.addEventListener("input", () => {
    const share = Number(input.value) / STEPS;
    model.set("guess", rounded(10 ** (low + share * (high - low)), model.get("unit")));
  });
  // Once it is released: the kernel keeps each guess that it gets.
  input.addEventListener("change", () => model.save_changes());
  show();
  model.on("change:guess", show);
  return () => model.off("change:guess", show);
}

export default { render };
