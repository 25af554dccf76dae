// Start: one sentence, a story in four steps of stored texts, examples, recent runs.
const lead = make('div', 'mx-start-lead');
lead.append(make('p', 'mx-start-sentence', 'Find directions inside the model that change what it says. No labels needed.'));
lead.append(make('p', 'mx-quiet', 'Write a prompt above and press Explore: it trains steering vectors, answers the prompt under each, and sorts what they change.'));
const explore = make('button', 'mx-primary', 'Explore this prompt');
explore.type = 'button';
explore.id = 'start-explore';
const minutes = make('span', 'mx-quiet', 'about two minutes on a small model');
const press = make('div', 'mx-start-press');
press.append(explore, minutes);
lead.append(press);
const runs = make('section', 'mx-start-part mx-start-runs');
const story = make('section', 'mx-start-part');
const examples = make('section', 'mx-start-part');
root.append(lead, runs, story, examples);

explore.addEventListener('click', () => {
  melbo.go('find', 'explore');
  const late = Date.now() + 10000;
  const press = () => {
    const button = document.getElementById('explore-start');
    if (button?.offsetParent) button.click();
    else if (Date.now() < late) setTimeout(press, 50);
  };
  press();
});

function open(text, data) {
  const node = make('button', 'mx-link', text);
  node.type = 'button';
  Object.assign(node.dataset, data);
  return node;
}

function stars(rating) {
  const node = make('span', 'mx-stars', '★'.repeat(rating));
  node.setAttribute('aria-label', `rated ${rating} of 5`);
  return node;
}

function step(number, title, kind, text, note) {
  const node = make('li', `mx-completion mx-kind-${kind}`);
  const head = make('div', 'mx-completion-head');
  head.append(make('span', 'mx-start-number', String(number)), make('span', 'mx-completion-title', title));
  node.append(head, auto('div', 'mx-completion-text mx-start-text', text), make('p', 'mx-quiet', note));
  return node;
}

function tell(one) {
  const head = make('h2', 'mx-start-title', 'How it works, on “');
  head.append(auto('bdi', '', one.prompt), make('span', '', '”'));
  const steps = make('ol', 'mx-start-steps');
  steps.append(step(1, 'Without steering', 'baseline', one.baseline, `What ${one.model} answers by itself.`));
  steps.append(step(2, `Under vector ${one.vector}`, 'vector', one.steered, `The same prompt with a trained vector of length R = ${one.radius} added inside the model.`));
  if (one.control) steps.append(step(3, 'Under a random vector', 'random', one.control, 'A random vector of the same length: what chance alone does.'));
  const named = step(one.control ? 4 : 3, 'What you call it', 'vector', one.name, one.note || 'A label that a person gave after reading.');
  named.querySelector('.mx-completion-text').append(' ', stars(one.rating));
  steps.append(named);
  return [head, steps, open('Read all vectors of this sample', { sample: one.bank })];
}

function example(one) {
  const node = make('li', 'mx-start-example');
  const found = make('ul', 'mx-start-found');
  found.append(...one.found.map(({ name, rating }) => {
    const line = make('li');
    line.append(auto('span', '', name), ' ', stars(rating));
    return line;
  }));
  const button = auto('button', 'mx-start-prompt', one.prompt);
  button.type = 'button';
  button.dataset.sample = one.bank;
  node.append(button, found);
  return node;
}

function run(one) {
  const node = make('li', 'mx-start-run');
  const button = auto('button', 'mx-start-prompt', one.prompt);
  button.type = 'button';
  button.dataset.run = one.run;
  node.append(button, make('span', 'mx-quiet', [...one.parts, one.date].join(' · ')));
  return node;
}

function part(section, title, cls, nodes) {
  const list = make('ul', cls);
  list.append(...nodes);
  section.replaceChildren(...(nodes.length ? [make('h2', 'mx-start-title', title), list] : []));
}

root.addEventListener('click', (event) => {
  const node = event.target.closest('[data-run], [data-sample]');
  if (node?.dataset.run) trigger('run', { run: Number(node.dataset.run) });
  else if (node) trigger('sample', { bank: node.dataset.sample });
});

show((value) => {
  part(runs, 'Recent runs', 'mx-start-list', (value.runs || []).map(run));
  story.replaceChildren(...(value.story ? tell(value.story) : []));
  part(examples, 'Prompts with a fork in them, and what was found', 'mx-start-list mx-start-examples', (value.examples || []).map(example));
});
