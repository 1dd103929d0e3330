// Fetches the changing part of the page every two seconds; the server has escaped it.
const main = document.querySelector("main");
let shown = "";

async function refresh() {
  let old = true;
  try {
    const answer = await fetch(`view${location.search}`, { cache: "no-store" });
    if (answer.ok) {
      const text = await answer.text();
      if (text !== shown) main.innerHTML = shown = text;
      old = false;
    }
  } catch {
    // The server has ended, or the network is gone: the note below says so.
  }
  document.getElementById("lost").hidden = !old;
}

main.addEventListener("click", async (event) => {
  if (!event.target.matches("[data-clock]")) return;
  await fetch(`clock${location.search}`, { method: "POST" });
  await refresh();
});
setInterval(refresh, 2000);
document.getElementById("grades").href = `grades.csv${location.search}`;
