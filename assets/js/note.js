// Lines of plain text.
const note = make('div', 'mx-note');
root.append(note);
show((value) => {
  const lines = value.lines || [];
  note.replaceChildren(...lines.map((text) => {
    const line = make('p', '', text);
    line.title = [text, value.about].filter(Boolean).join('\n');
    line.dir = 'auto';
    return line;
  }));
  note.dataset.tone = value.tone || 'quiet';
});
