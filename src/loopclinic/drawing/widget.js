/**
 * Keep the notebook as it is: a press or a key in `root` neither selects the cell, so that Shift+Enter would
 * run it again, nor is it a command of JupyterLab. Shift+Enter and what has Ctrl, Alt or Meta still are.
 */
function keepsNotebookStill(root) {
  for (const kind of ["mousedown", "focusin"]) root.addEventListener(kind, (event) => event.stopPropagation());
  root.addEventListener("keydown", (event) => {
    const command = event.ctrlKey || event.altKey || event.metaKey || (event.key === "Enter" && event.shiftKey);
    if (!command) event.stopPropagation();
  });
}
