// Measured answers in parts that open; those that show the behaviour are marked.
const list = make('div', 'mx-organism');
root.append(list);

function answer({ prompt, text, shows }) {
  const node = make('li', 'mx-organism-answer');
  node.dataset.shows = shows;
  node.append(auto('p', 'mx-organism-prompt', prompt), auto('p', 'mx-organism-text', text));
  if (shows) node.append(make('span', 'mx-organism-shows', 'shows it'));
  return node;
}

show(({ parts = [] }) => {
  list.replaceChildren(...parts.map(({ title, figure, texts }, at) => {
    const part = make('details', 'mx-organism-part');
    part.open = at === 0;
    const head = make('summary', '');
    head.append(make('span', 'mx-organism-title', title), make('span', 'mx-quiet', ` ${figure}`));
    const answers = make('ul', 'mx-organism-answers');
    answers.append(...texts.map(answer));
    part.append(head, answers);
    return part;
  }));
});
