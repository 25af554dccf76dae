// Names that were given to similar vectors; a press takes one over.
const line = make('div', 'mx-names');
line.setAttribute('role', 'group');
line.setAttribute('aria-label', 'Names of vectors with similar texts');
root.append(line);

show(({ names = [] }) => {
  line.hidden = !names.length;
  line.replaceChildren(make('span', 'mx-quiet', 'Similar texts are called'), ...names.map(({ name, title }) => {
    const node = auto('button', 'mx-name', name);
    node.type = 'button';
    node.title = title;
    node.addEventListener('click', () => trigger('take', { name }));
    return node;
  }));
});
