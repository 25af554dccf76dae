// Two versions of a label, theirs and yours; nothing is saved before a person has chosen.
const box = make('section', 'mx-clash');
box.setAttribute('role', 'alert');
root.append(box);

function choice(text, event) {
  const node = make('button', 'mx-clash-button', text);
  node.type = 'button';
  node.dataset.action = event;
  node.addEventListener('click', () => {
    document.querySelector('#label-name input, #label-name textarea')?.focus(); // this button is about to go
    trigger(event);
  });
  return node;
}

function said(text, differs) {
  const node = make('td', differs ? 'mx-clash-differs' : '', text || '–');
  node.dir = 'auto';
  return node;
}

show(({ title, rows }) => {
  box.hidden = !rows;
  if (!rows) return box.replaceChildren();
  const table = make('table', 'mx-clash-table');
  const head = make('tr');
  head.append(make('th', '', ''), make('th', '', 'Theirs'), make('th', '', 'Yours'));
  table.append(head, ...rows.map(({ part, theirs, mine, differs }) => {
    const row = make('tr');
    row.append(make('th', '', part), said(theirs, differs), said(mine, differs));
    return row;
  }));
  const buttons = make('div', 'mx-clash-buttons');
  buttons.append(choice('Keep theirs', 'theirs'), choice('Save mine', 'mine'));
  box.replaceChildren(make('p', 'mx-clash-title', title), table, buttons);
  box.scrollIntoView({ block: 'nearest' });
});
