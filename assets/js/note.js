// Lines of plain text.
const note = make('div', 'mx-note');
root.append(note);
show((value) => {
  const lines = value.lines || [];
  note.replaceChildren(...lines.map((text) => make('p', '', text)));
  note.dataset.tone = value.tone || 'quiet';
});
