// Shared by every component: text reaches the page through textContent only, never as markup.
const components = {};

// `fill` builds a component into its `root` and draws each of its values through `show`. Where a button makes its result
// anew, the strip above it says what made the one that is shown.
function define(name, fill) {
  components[name] = (given, button) => {
    const { element, props, watch } = given;
    const root = element.firstElementChild;
    function show(draw) {
      const safely = () => draw(props.value || {});
      watch('value', safely);
      safely();
    }
    const own = { ...given, root, show };
    fill(own);
    if (button) stampStrip(button, own);
  };
}

function make(tag, cls, text) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}

// Text of models and people, in either direction.
function auto(tag, cls, text) {
  const node = make(tag, cls, text);
  node.dir = 'auto';
  return node;
}

function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2);
  if (size >= 1000) return value.toFixed(0);
  return String(Number(value.toPrecision(digits)));
}

// A text in which what was searched for is marked wherever it stands; null where it does not.
function soughtIn(text, sought) {
  const [low, wanted] = [text.toLowerCase(), sought.toLowerCase()];
  const nodes = [];
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    nodes.push(text.slice(from, at), make('mark', 'mx-sought', text.slice(at, at + sought.length)));
    from = at + sought.length;
  }
  return nodes.length ? [...nodes, text.slice(from)] : null;
}

// Plotly is larger than all the rest of the page, so it is fetched with the first figure.
let plotly = null;
function plotting() {
  if (window.Plotly) return null;
  plotly ??= new Promise((loaded, failed) => {
    const script = make('script');
    script.src = 'explorer/plotly.min.js'; // relative, for proxies
    script.onload = loaded;
    script.onerror = () => {
      plotly = null;
      failed(new Error('plotly was not loaded'));
    };
    document.head.append(script);
  });
  return plotly;
}
