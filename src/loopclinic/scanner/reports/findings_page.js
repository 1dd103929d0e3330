// Without a script the page shows everything, and its form does nothing.
const form = document.forms[0], all = [...document.querySelectorAll('article')];
function filter() {
  const words = form.search.value.toLowerCase().split(/\s+/), kind = form.kind.value;
  const left = [...form.querySelectorAll('input[type=checkbox]')].filter(one => !one.checked).map(one => one.value);
  for (const one of all) one.hidden = left.includes(one.dataset.sure) || left.includes(one.dataset.weight) || (kind && kind !== one.dataset.kind)
    || !words.every(word => one.textContent.toLowerCase().includes(word));
  for (const one of document.querySelectorAll('section, .leaf')) one.hidden = !one.querySelector('article:not([hidden])');
  form.shown.value = `${all.filter(one => !one.hidden).length} of ${all.length} shown`;
}
if (form) { form.oninput = filter; form.onsubmit = () => false; filter(); }
