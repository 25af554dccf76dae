// A text in Markdown, which arrives as a tree of plain texts (ui/markdown.py): only the elements below are ever made.
const TAGS = new Set(['p', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'ul', 'ol', 'li', 'blockquote', 'em', 'strong', 's', 'table', 'thead', 'tbody',
  'tr', 'th', 'td', 'pre', 'code', 'br', 'hr', 'span', 'a']);
const box = auto('div', 'mx-markdown');
root.append(box);

function built({ tag, text, nodes = [], href }) {
  if (!TAGS.has(tag)) return document.createTextNode(text ?? '');
  const node = ['p', 'li', 'td', 'th', 'blockquote'].includes(tag) ? auto(tag) : make(tag);
  if (tag === 'a' && /^(https?:\/\/|mailto:)/.test(href)) {
    node.href = href;
    node.target = '_blank';
    node.rel = 'noopener noreferrer';
  }
  if (text) node.textContent = text;
  node.append(...nodes.map(built));
  return node;
}

show(({ nodes = [], message = '' }) => {
  box.replaceChildren(...(nodes.length ? nodes.map(built) : [make('p', 'mx-quiet', message)]));
});
