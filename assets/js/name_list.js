// Names for a vector, given by people or by a model; a press takes one over.
const line = make('div', 'mx-names');
line.setAttribute('role', 'group');
root.append(line);

show(({ intro, names = [], after }) => {
  line.hidden = !names.length;
  line.setAttribute('aria-label', intro || '');
  line.replaceChildren(make('span', 'mx-quiet', intro), ...names.map(({ name, title }) => {
    const node = auto('button', 'mx-name', name);
    node.type = 'button';
    node.title = title;
    node.addEventListener('click', () => trigger('take', { name }));
    return node;
  }), ...(after ? [make('span', 'mx-quiet', after)] : []));
});
