// What a reader takes away: the last minute as JSON, and the picture as PNG.

const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "font", "font-weight", "text-anchor"];

function hand(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A name that sorts by time and holds no character that a file system refuses. */
const stamp = (ending) => `scope-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`;

function asJson(track) {
  const { now, ticks, stalls } = track;
  const values = { threshold: track.settings.threshold, at: track.kernelNow(), now, ticks, stalls };
  return new Blob([JSON.stringify(values, null, 1)], { type: "application/json" });
}

/** Draw what the scope shows, in its own colors and with its own words. */
async function asPng(view) {
  const { svg, width, height } = view.strip;
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", width);
  const originals = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, index) => {
    const style = getComputedStyle(originals[index]);
    for (const look of LOOKS) if (style.getPropertyValue(look)) element.style.setProperty(look, style.getPropertyValue(look));
  });
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const canvas = make("canvas", { width: width * 2, height: (height + 62) * 2 });
  const pen = canvas.getContext("2d");
  const page = getComputedStyle(view.root);
  pen.scale(2, 2);
  pen.fillStyle = page.backgroundColor;
  pen.fillRect(0, 0, width, height + 62);
  pen.fillStyle = page.color;
  pen.font = `600 15px ${page.fontFamily}`;
  pen.fillText(view.word.textContent + view.rest.textContent, 14, 26, width - 28);
  pen.font = `13px ${page.fontFamily}`;
  const figures = FIGURES.map(([key, name]) => `${name} ${view.figures[key].map((one) => one.textContent).join(" ")}`.trim());
  pen.fillText(figures.join("   "), 14, 48, width - 28);
  pen.drawImage(image, 0, 62, width, height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
