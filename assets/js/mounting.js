// The components are functions of one script, which comes beside the page. A component that is there before it waits.
//   melbo.mount(start)       calls start(components)
//   melbo.ready(components)  from now on at once
{
  let known = null;
  const waiting = [];
  melbo.mount = (start) => {
    if (known) start(known);
    else waiting.push(start);
  };
  melbo.ready = (components) => {
    known = components;
    for (const start of waiting.splice(0)) queueMicrotask(() => start(known)); // one that fails stops no other
  };
}
