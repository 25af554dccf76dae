// The exact tokens that the model reads, one box each; tokens in scope are highlighted.
const strip = make('div', 'mx-tokens');
root.append(strip);
const PITCH = 21; // pixels from line to line, as in the style sheet

function gap(count) {
  return make('span', 'mx-token-gap', `… ${count.toLocaleString('en')} tokens not shown …`);
}

function visible(piece) {
  return piece.replace(/ /g, '·').replace(/\n/g, '⏎').replace(/\t/g, '⇥');
}

function box(piece, counts, index) {
  const node = make('span', counts ? 'mx-token mx-token-on' : 'mx-token', visible(piece) || '∅');
  node.title = `token ${index}${counts ? ', in scope' : ''}`;
  return node;
}

show((value) => {
  const prompts = value.prompts || [];
  strip.replaceChildren();
  if (value.message) strip.append(make('p', 'mx-quiet', value.message));
  prompts.forEach((prompt, at) => {
    const name = prompts.length > 1 ? `Prompt ${at + 1}: ` : '';
    const words = `${name}${prompt.total.toLocaleString('en')} tokens, ${prompt.counted.toLocaleString('en')} steered`;
    strip.append(make('p', 'mx-token-count', `${words} (scope ${value.scope})`));
    const line = make('div', 'mx-token-line');
    let next = 0;
    for (const run of prompt.runs) {
      if (run.start > next) line.append(gap(run.start - next));
      run.pieces.forEach((piece, index) => {
        line.append(box(piece, run.counts[index], run.start + index));
        if (piece.includes('\n')) line.append(make('span', 'mx-token-break'));
      });
      next = run.start + run.pieces.length;
    }
    strip.append(line);
  });
  // Scroll to the line before the first token in scope, in whole lines.
  const first = prompts.length === 1 ? strip.querySelector('.mx-token-on') : null;
  strip.scrollTop = first ? (Math.round(first.offsetTop / PITCH) - 2) * PITCH : 0;
});
