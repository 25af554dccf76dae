// The texts on which a label rests, all on one prompt: without steering, at a few R, reversed, under a random vector.
const frame = make('div', 'mx-evidence');
frame.tabIndex = 0; // it scrolls
frame.setAttribute('role', 'region');
frame.setAttribute('aria-label', 'Texts of this vector');
root.append(frame);

function directed(tag, cls, text) {
  const node = make(tag, cls, text);
  node.dir = 'auto';
  if (tag === 'p') node.title = text; // long ones are cut
  return node;
}

function card({ kind, title, verdict, runaway, mark, pieces }) {
  const node = make('article', `mx-completion mx-kind-${kind}`);
  node.dataset.mark = mark;
  const head = make('div', 'mx-completion-head');
  const scores = make('span', 'mx-scores');
  if (runaway) scores.append(make('span', 'mx-score mx-score-runaway', 'runaway'));
  if (verdict) scores.append(make('span', `mx-score mx-score-${verdict}`, verdict));
  head.append(make('span', 'mx-completion-title', title), scores);
  const body = directed('div', 'mx-completion-text');
  body.append(...pieces.map(([text, differs]) => make(differs ? 'mark' : 'span', '', text)));
  if (mark === 'live') body.append(make('span', 'mx-caret', '▍'));
  if (mark === 'cut') body.append(make('span', 'mx-cut', ' …'));
  node.append(head, body);
  return node;
}

function asked({ prompt, origin, tone, made, elsewhere }) {
  const node = make('div', 'mx-evidence-asked');
  const whose = make('p', 'mx-evidence-origin', origin);
  whose.dataset.tone = tone;
  node.append(whose, directed('p', 'mx-evidence-prompt', prompt.user));
  if (prompt.system) node.append(directed('p', 'mx-evidence-system', `System text: ${prompt.system}`));
  node.append(make('p', 'mx-evidence-made', made));
  if (elsewhere) node.append(make('p', 'mx-evidence-elsewhere', elsewhere));
  return node;
}

function offered(why) {
  const node = make('div', 'mx-evidence-offer');
  const button = make('button', 'mx-evidence-steer', 'Steer it');
  button.type = 'button';
  button.addEventListener('click', () => trigger('steer'));
  node.append(button, make('span', '', why));
  return node;
}

show((value) => {
  // Texts that come late must not stand beside another vector's label.
  if (value.late && value.of !== document.querySelector('#label-progress .mx-labelling')?.dataset.of) return;
  const parts = value.prompt ? [asked(value)] : [];
  if (value.message) parts.push(make('p', 'mx-empty', value.message));
  if (value.offer) parts.push(offered(value.offer));
  parts.push(...(value.cards || []).map(card));
  frame.replaceChildren(...parts);
});
