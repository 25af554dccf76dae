// Shows or hides the form at the side of Find.
const button = make('button', 'mx-link');
button.type = 'button';
button.id = 'form-open';
root.append(button);
const narrow = matchMedia('(max-width: 859px)');
const open = () => melbo.state.form ?? !narrow.matches;

function paint() {
  button.textContent = open() ? 'Hide the form' : 'Show the form';
  button.title = 'Method, layers, R and options of a training (f)';
  button.setAttribute('aria-expanded', open() ? 'true' : 'false');
  document.body.classList.toggle('mx-form-open', open());
}

button.addEventListener('click', () => melbo.select({ form: !open() }));
melbo.subscribe(element, paint);
narrow.addEventListener('change', paint);
show(paint);
