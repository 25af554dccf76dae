// What several annotators say of one vector, side by side; one of them can be taken into the form.
const box = make('section', 'mx-given');
root.append(box);

function button(text, action, press) {
  const node = make('button', 'mx-clash-button', text);
  node.type = 'button';
  node.dataset.action = action;
  node.addEventListener('click', press);
  return node;
}

function card({ who, settled, fields }, settling) {
  const [name, tags, rating, note] = fields;
  const node = make('article', `mx-given-label${settled ? ' mx-given-settled' : ''}`);
  node.dataset.who = who;
  node.append(auto('p', 'mx-given-who', who), auto('p', 'mx-given-name', name || 'no name'));
  if (rating) {
    const stars = make('p', 'mx-stars', '★'.repeat(rating));
    stars.setAttribute('aria-label', `rated ${rating} of 5`);
    node.append(stars);
  }
  if (tags.length) {
    const row = make('p', 'mx-given-tags');
    row.append(...tags.map((tag) => auto('span', 'mx-card-tag', tag)));
    node.append(row);
  }
  if (note) node.append(auto('p', 'mx-given-note', note));
  if (settling) node.append(button('Take', 'take', () => trigger('take', { fields })));
  return node;
}

show(({ message = '', rows = [], settling, may_settle: maySettle }) => {
  box.hidden = !rows.length && !message;
  const labels = make('div', 'mx-given-labels');
  labels.append(...rows.map((one) => card(one, settling)));
  const parts = [make('p', 'mx-quiet', message), labels];
  if (settling) parts.push(button('Back to my own label', 'own', () => trigger('own')));
  else if (maySettle) parts.push(button('Settle it…', 'settle', () => trigger('settle')));
  box.replaceChildren(...parts);
});
