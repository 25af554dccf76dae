// A table of records; a row with a key can be selected by a click or by Enter, and reached by the arrow keys.
const frame = make('div', 'mx-table-frame');
const table = make('table', 'mx-table');
frame.append(table);
root.append(frame);

function cell(tag, text, share, figure) {
  const node = make(tag, share ? 'mx-wide' : figure ? 'mx-figure' : '', text);
  node.style.width = share;
  node.title = text;
  node.dir = 'auto';
  return node;
}

function row(record, chosen, wide, figures) {
  const node = make('tr', record.tone ? `mx-row-${record.tone}` : '');
  if (record.key !== undefined) {
    node.dataset.key = record.key;
    node.tabIndex = 0;
    node.setAttribute('aria-selected', chosen ? 'true' : 'false');
  }
  record.cells.forEach((text, at) => node.append(cell('td', text, wide[at], figures[at])));
  return node;
}

function draw(value) {
  const rows = value.rows || [];
  frame.hidden = !(value.columns || []).length;
  const head = make('thead');
  const names = make('tr');
  const share = `${100 / (value.wide || []).length}%`;
  const wide = (value.columns || []).map((name) => ((value.wide || []).includes(name) ? share : ''));
  const figures = (value.columns || []).map((name) => (value.figures || []).includes(name));
  (value.columns || []).forEach((name, at) => names.append(cell('th', name, wide[at], figures[at])));
  head.append(names);
  const body = make('tbody');
  body.append(...rows.map((record) => row(record, record.key === value.selected, wide, figures)));
  if (!rows.length) {
    const only = make('td', 'mx-quiet', value.message || 'Nothing here yet');
    only.colSpan = (value.columns || []).length || 1;
    const line = make('tr', 'mx-row-empty');
    line.append(only);
    body.append(line);
  }
  const focused = table.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  table.replaceChildren(head, body);
  if (focused) [...table.querySelectorAll('tr[data-key]')].find((node) => node.dataset.key === focused)?.focus({ preventScroll: true });
}

function choose(key) {
  props.value = { ...props.value, selected: key };
  draw(props.value);
  table.querySelector('[aria-selected="true"]')?.focus();
  trigger('pick', { key });
}

table.addEventListener('click', (event) => {
  const node = event.target.closest('tr[data-key]');
  if (node) choose(node.dataset.key);
});
table.addEventListener('keydown', (event) => {
  const node = event.target.closest('tr[data-key]');
  if (!node) return;
  if (event.key === 'Enter') return choose(node.dataset.key);
  const next = { ArrowDown: node.nextElementSibling, ArrowUp: node.previousElementSibling }[event.key];
  if (next) { event.preventDefault(); next.focus(); }
});
show(draw);
