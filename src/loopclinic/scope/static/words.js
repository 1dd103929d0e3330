// Figures and times in words.

/** Split seconds into a figure of three digits and its unit. */
function duration(seconds) {
  if (seconds === null || seconds === undefined) return ["–", ""];
  if (seconds >= 3600) return [(seconds / 3600).toFixed(1), "h"];
  if (seconds >= 120) return [(seconds / 60).toFixed(1), "min"];
  if (seconds >= 0.9995) return [seconds.toFixed(seconds < 99.95 ? 2 : 1), "s"];
  const ms = seconds * 1000;
  if (ms < 0.005) return ["0", "ms"];
  return [ms >= 99.95 ? ms.toFixed(0) : ms >= 9.995 ? ms.toFixed(1) : ms.toFixed(2), "ms"];
}

const spoken = (seconds) => duration(seconds).join("\u00a0");

function ago(seconds) {
  if (seconds < 1.5) return "just now";
  if (seconds < 99.5) return `${Math.round(seconds)}\u00a0s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}\u00a0min ago`;
  return `${(seconds / 3600).toFixed(1)}\u00a0h ago`;
}
