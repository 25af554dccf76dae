// The catalogue of models: a card per model, whose button downloads it, loads it or stops the download.
const list = make('ul', 'mx-models');
list.setAttribute('aria-label', 'Catalogue of models');
root.append(list);
const WORDS = { absent: 'Get', elsewhere: 'Get', ready: 'Load', loaded: 'Loaded', getting: 'Stop' };
let cards = new Map();

function card(model) {
  const parts = {
    node: make('li', 'mx-model'), name: make('span', 'mx-model-name', model.name), facts: make('p', 'mx-model-facts'),
    good: make('p', 'mx-model-good'), warning: make('p', 'mx-model-warning'), state: make('span', 'mx-model-state'),
    bar: make('progress', 'mx-progress-bar'), button: make('button', 'mx-model-button'),
  };
  parts.node.dataset.key = model.key;
  parts.button.type = 'button';
  parts.bar.max = 1;
  const head = make('div', 'mx-model-head');
  head.append(parts.name, parts.button);
  const foot = make('div', 'mx-model-foot');
  foot.append(parts.bar, parts.state);
  parts.node.append(head, parts.facts, parts.good, parts.warning, foot);
  return parts;
}

function fill(parts, model) {
  parts.facts.textContent = model.facts;
  parts.good.textContent = model.good_for;
  parts.warning.textContent = model.warning;
  parts.state.textContent = parts.state.title = model.text;
  parts.node.dataset.state = parts.button.dataset.state = model.state;
  parts.button.textContent = WORDS[model.state];
  parts.button.disabled = model.state === 'loaded' || model.state === 'elsewhere';
  parts.button.setAttribute('aria-label', `${WORDS[model.state]}: ${model.name}`);
  parts.bar.hidden = model.state !== 'getting';
  parts.bar.setAttribute('aria-label', `Download of ${model.name}`);
  if (model.fraction === null || model.fraction === undefined) parts.bar.removeAttribute('value');
  else parts.bar.value = model.fraction;
}

function draw(value) {
  const models = value.models || [];
  if (models.map((model) => model.key).join() !== [...cards.keys()].join()) { // otherwise keep the nodes, and with them the focus
    cards = new Map(models.map((model) => [model.key, card(model)]));
    list.replaceChildren(...[...cards.values()].map((parts) => parts.node));
  }
  models.forEach((model) => fill(cards.get(model.key), model));
}

list.addEventListener('click', (event) => {
  const button = event.target.closest('.mx-model-button');
  if (!button || button.disabled) return;
  const state = button.dataset.state;
  trigger(state === 'getting' ? 'stop' : 'take', { key: button.closest('.mx-model').dataset.key });
});
show(draw);
