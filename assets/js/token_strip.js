// The exact tokens that go in, one box each; those that count under the scope are highlighted.
const strip = make('div', 'mx-tokens');
root.append(strip);

function visible(piece) {
  return piece.replace(/ /g, '·').replace(/\n/g, '⏎').replace(/\t/g, '⇥');
}

function box(piece, counts, index) {
  const node = make('span', counts ? 'mx-token mx-token-on' : 'mx-token', visible(piece) || '∅');
  node.title = `token ${index}${counts ? ', counts' : ''}`;
  return node;
}

show((value) => {
  const prompts = value.prompts || [];
  strip.replaceChildren();
  if (value.message) strip.append(make('p', 'mx-quiet', value.message));
  prompts.forEach((prompt, at) => {
    const counted = prompt.counts.filter(Boolean).length;
    const name = prompts.length > 1 ? `Prompt ${at + 1}: ` : '';
    strip.append(make('p', 'mx-token-count', `${name}${prompt.pieces.length} tokens, ${counted} count (${value.scope})`));
    const line = make('div', 'mx-token-line');
    prompt.pieces.forEach((piece, index) => {
      line.append(box(piece, prompt.counts[index], index));
      if (piece.includes('\n')) line.append(make('span', 'mx-token-break'));
    });
    strip.append(line);
  });
  const first = strip.querySelector('.mx-token-on');
  strip.scrollTop = prompts.length === 1 && first ? first.offsetTop - strip.clientHeight / 3 : 0;
});
