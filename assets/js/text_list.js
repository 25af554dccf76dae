// The first lines of several texts; a click opens one.
const title = make('h3', 'mx-group-title');
const list = make('div', 'mx-text-list');
const more = make('p', 'mx-quiet');
root.append(title, list, more);

function draw(value) {
  const rows = value.rows || [];
  title.textContent = value.title || '';
  more.textContent = value.more || '';
  list.replaceChildren(...rows.map((row) => {
    const node = make('button', 'mx-text-row');
    node.type = 'button';
    node.dataset.id = row.id;
    const text = make('span', 'mx-text-first', row.text);
    text.dir = 'auto';
    node.append(make('span', 'mx-text-head', row.head), text);
    return node;
  }));
}

list.addEventListener('click', (event) => {
  const node = event.target.closest('.mx-text-row');
  if (!node) return;
  const id = Number(node.dataset.id);
  for (const one of list.children) one.setAttribute('aria-pressed', one === node ? 'true' : 'false');
  const { cell } = props.value.rows.find((row) => row.id === id);
  const bank = window.melbo?.state.bank;
  if (!bank || !props.value.bank || bank === props.value.bank) window.melbo?.select({ cell }, element);
  trigger('pick', { id });
});
show(draw);
