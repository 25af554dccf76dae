// How many vectors are chosen; a press shows or hides their list.
const button = make('button', 'mx-count');
button.type = 'button';
button.id = 'vectors-toggle';
const label = make('span', 'mx-count-label', 'Vectors');
const words = make('span', 'mx-count-words');
button.append(label, words);
root.append(button);
const narrow = matchMedia('(max-width: 859px)');
const open = () => (melbo.state.lists?.[melbo.state.room] ?? (melbo.state.room === 'read' && !narrow.matches));

function paint() {
  const { vectors = [], total = 0 } = melbo.state;
  words.textContent = total ? `${vectors.length} of ${total}` : 'none';
  button.setAttribute('aria-expanded', open() ? 'true' : 'false');
  button.title = `${open() ? 'Hide' : 'Show'} the list of vectors (v)`;
  document.body.classList.toggle('mx-list-open', open());
}

button.addEventListener('click', () => {
  melbo.select({ lists: { ...melbo.state.lists, [melbo.state.room]: !open() } });
});
melbo.subscribe(element, paint);
narrow.addEventListener('change', paint);
show(paint);
