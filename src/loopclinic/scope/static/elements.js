// Building blocks of the page.

const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Touch the page only where something changed: selections and screen readers stay undisturbed. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const diamond = (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`;

// One shape for each state, so that color is never the only difference.
const SHAPES = {
  calm: "M8 3a5 5 0 1 0 .01 0Z",
  waiting: "M8 3a5 5 0 1 0 .01 0Z",
  busy: "M3 11h2.4v2.5H3ZM6.8 7h2.4v6.500H6.8ZM10.600 2.500H13v11h-2.400Z",
  stalled: diamond(8, 8, 7),
  cell: "M3 3H13V13H3Z",
  silent: "M2 8h3l1.500 -4l3 8l1.500 -4h3",
  stopped: "M4 4H12V12H4Z",
  paused: "M5 3V13M11 3V13",
};

function glyph(name) {
  const icon = draw("svg", { class: "lc-glyph", "data-shape": name, viewBox: "0 0 16 16", "aria-hidden": "true" });
  icon.append(draw("path", { d: SHAPES[name] }));
  return icon;
}

const FIGURES = [
  // key, name, what it means
  ["lag", "lag now", "wait for the loop"],
  ["p99", "p99", "last 60 s"],
  ["worst", "worst", "last 60 s"],
  ["utilization", "utilization", "busy, last 5 s"],
  ["tasks", "tasks", "on this loop"],
  ["threads", "threads", "busy in executor"],
];

function figure(key, now) {
  if (now === null) return ["–", ""];
  if (key === "utilization") return now.utilization === null ? ["–", ""] : [(now.utilization * 100).toFixed(now.utilization < 0.0995 ? 1 : 0), "%"];
  if (key === "tasks") return [now.tasks === null ? "–" : String(now.tasks), ""];
  // Of another process, its executor is not known.
  if (key === "threads") return now.workers ? [String(now.threads), `of ${now.workers}`] : ["–", ""];
  return duration(now[key]);
}
