// Runs in the page before its own scripts. Gradio's own bookkeeping cannot be read, so what the page asked and the
// program has not answered yet is counted here.
(() => {
  const send = window.fetch;
  const answered = new Set();
  const open = new Map(); // event: when it was last heard of, and which function it called
  // About once in 300 tests on a busy machine the last message of an event does not come by here; why is not known. A
  // test goes on without it, and sees for itself whether the page shows what it should.
  const LOST = 90000;
  let joining = 0;

  function called(body) {
    const number = JSON.parse(body ?? '{}').fn_index;
    return window.gradio_config?.dependencies.find(({ id }) => id === number)?.api_name || number;
  }

  async function listen(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines.filter((one) => one.startsWith('data:'))) {
        const { msg, event_id } = JSON.parse(line.slice(5));
        if (open.has(event_id)) open.get(event_id).heard = Date.now();
        if (msg !== 'process_completed') continue;
        answered.add(event_id);
        open.delete(event_id);
      }
    }
  }

  window.fetch = async (...request) => {
    const url = String(request[0]?.url ?? request[0]);
    if (url.includes('/queue/data')) {
      const response = await send(...request);
      listen(response.clone()).catch(() => {}); // the page was left
      return response;
    }
    if (!url.includes('/queue/join')) return send(...request);
    joining += 1;
    try {
      const response = await send(...request);
      const { event_id } = await response.clone().json();
      if (event_id && !answered.has(event_id)) open.set(event_id, { heard: Date.now(), called: called(request[1]?.body) });
      return response;
    } finally {
      joining -= 1;
    }
  };
  window.unanswered = () => {
    for (const [event_id, { heard }] of open) if (Date.now() - heard > LOST) open.delete(event_id);
    return joining + open.size;
  };
  window.unansweredCalls = () => [
    `${joining} on their way`,
    ...[...open.values()].map((one) => `${one.called}, heard of ${Date.now() - one.heard} ms ago`),
  ];
})();
