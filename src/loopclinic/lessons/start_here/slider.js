// A slider with two marks: where the reader put it, and where the event loop knows it to be.
// Each move is sent with a number; the loop sends the number back. The browser's clock does the
// counting, so that the wait is shown while it lasts.

const KEPT = 2000; // moves that may wait; more are dropped rather than kept for ever

function words(seconds) {
  if (seconds >= 0.9995) return `${seconds.toFixed(1)}\u00a0s`;
  const ms = seconds * 1000;
  return `${ms >= 9.5 ? ms.toFixed(0) : ms.toFixed(1)}\u00a0ms`;
}

function element(name, className, parent) {
  const node = document.createElement(name);
  if (className) node.className = className;
  parent.append(node);
  return node;
}

// Views of one page share its clock, so the kernel learns the offset of the two clocks once for all of them.
const page = Math.random().toString(36).slice(2);
let kernel; // whether one answers; unknown at first

function render({ model, el }) {
  const view = Math.random().toString(36).slice(2);
  const clock = () => performance.now() / 1000;
  const waiting = new Map(); // number of a move -> when it was made
  let last = 0;
  let batch = null; // the moves heard lately: {worst, last}

  const box = element("div", "lc lc-panel lc-slider", el);
  keepsNotebookStill(box);
  const yours = element("label", "lc-slider-row", box);
  element("span", "", yours).textContent = "you";
  const input = element("input", "", yours);
  Object.assign(input, { type: "range", min: 0, max: 100, step: 1, value: model.get("value") });
  input.setAttribute("aria-label", "A slider to move while the loop is frozen");
  const here = element("span", "", yours);
  const theirs = element("div", "lc-slider-row lc-slider-loop", box);
  element("span", "", theirs).textContent = "the loop";
  const track = element("div", "lc-slider-track", theirs);
  const echo = element("div", "lc-slider-echo", track);
  const there = element("span", "", theirs);
  const said = element("p", "lc-slider-words", box);
  said.setAttribute("role", "status");

  function place(value) {
    echo.style.left = `${value}%`;
    there.textContent = value;
  }

  function tell() {
    const now = clock();
    const oldest = waiting.size ? now - waiting.values().next().value : 0;
    const stuck = kernel === true && oldest > 0.25;
    box.toggleAttribute("data-waiting", stuck);
    if (kernel === false || (!kernel && oldest > 1)) {
      said.textContent = "No kernel answers: run this cell again.";
    } else if (stuck) {
      const many = waiting.size === 1 ? "1 move waits" : `${waiting.size} moves wait`;
      said.textContent = `${many} for the loop, the first for ${words(oldest)}.`;
    } else if (batch === null) {
      said.textContent = "Drag it: does the loop below follow?";
    } else if (batch.worst > 0.25) {
      // How many, and how late: the kernel says so below, by its own clock.
      said.textContent = "The moves that waited arrived all at once.";
    } else {
      said.textContent = `The loop's answer is back within ${words(batch.worst)}.`;
    }
  }

  input.addEventListener("input", () => {
    here.textContent = input.value;
    last += 1;
    waiting.set(last, clock());
    if (waiting.size > KEPT) waiting.delete(waiting.keys().next().value);
    model.send({ page, view, number: last, value: Number(input.value), sent: clock() });
  });

  function hear(message) {
    kernel = true;
    if (message.kind !== "heard") return tell();
    place(message.value);
    if (message.view !== view) {
      input.value = message.value;
      here.textContent = message.value;
      return;
    }
    const now = clock();
    const sent = waiting.get(message.number);
    if (sent === undefined) return;
    for (const number of [...waiting.keys()]) if (number <= message.number) waiting.delete(number);
    const late = now - sent;
    // A heap is what arrives without a pause; later moves begin a new count.
    if (batch === null || now - batch.last > 0.15) batch = { worst: 0, last: now };
    batch.worst = Math.max(batch.worst, late);
    batch.last = now;
    tell();
  }

  here.textContent = model.get("value");
  place(model.get("value"));
  model.on("msg:custom", hear);
  const deaf = whenKernelEnds(model, () => { kernel = false; tell(); });
  tell();
  model.send({ page, view, number: 0, value: Number(input.value), sent: clock() });
  const timer = setInterval(() => waiting.size && tell(), 100);
  return () => {
    clearInterval(timer);
    deaf();
    model.off("msg:custom", hear);
  };
}

export default { render };
