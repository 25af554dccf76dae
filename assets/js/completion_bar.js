// The switches above the grid, and the choice of its columns. The browser keeps the switches.
const KEPT = 'melbo-grid'; // the browser's key for the switches
const bar = make('div', 'mx-grid-bar');
const hidden = make('span', 'mx-quiet mx-grid-hidden');
hidden.setAttribute('role', 'status');
let barShape = '';
let view = { all: true, marks: true, differing: false };
try { view = { ...view, ...JSON.parse(localStorage.getItem(KEPT)) }; } catch { /* private windows may refuse */ }

function remember() {
  try { localStorage.setItem(KEPT, JSON.stringify(view)); } catch { /* private windows may refuse */ }
}

function toggle(name, text, title) {
  const label = make('label', 'mx-switch');
  const box = make('input');
  box.type = 'checkbox';
  box.dataset.view = name;
  box.checked = view[name];
  label.title = title;
  label.append(box, make('span', '', text));
  return label;
}

const all = toggle('all', 'All R', 'A column for every R at which texts of this prompt, bank and decoding are stored');
const choice = make('details', 'mx-columns');
const chosen = make('summary', '');
const boxes = make('div', 'mx-columns-list');
choice.append(chosen, boxes);
bar.append(
  all, choice, toggle('marks', 'Differences', 'Mark the words that the unsteered text does not have'),
  toggle('differing', 'Only what differs', 'Hide texts that say the same as the unsteered one'), hidden,
);

// Every column there is, those of the comparison itself (`mine`), and those that are shown.
function drawBar(every, mine, columns, isMain) {
  const next = JSON.stringify([every, columns, view.all, isMain, mine.length]);
  if (barShape === next) return;
  barShape = next;
  bar.hidden = !isMain;
  bar.style.visibility = every.length ? '' : 'hidden'; // its place stays, so that nothing moves
  all.hidden = every.length === mine.length;
  choice.hidden = all.hidden || !view.all;
  all.lastElementChild.textContent = `All ${every.length} R`;
  chosen.textContent = `Columns: ${columns.length} of ${every.length}`;
  boxes.replaceChildren(...every.map((column) => {
    const label = make('label', 'mx-switch');
    const box = make('input');
    box.type = 'checkbox';
    box.dataset.column = column;
    box.checked = columns.includes(column);
    label.append(box, make('span', '', columnName(column)));
    return label;
  }));
}

choice.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  choice.open = false;
  chosen.focus();
});
choice.addEventListener('focusout', (event) => {
  if (event.relatedTarget && !choice.contains(event.relatedTarget)) choice.open = false;
});
