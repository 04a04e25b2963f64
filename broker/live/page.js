// page.js - the live page: asks the broker every two seconds, and shows what it says
//
// Everything that comes from the broker is put in as text. A client's id is what a publisher made it.
'use strict';
(() => {
  const EVERY = 2000; // ms between two questions
  const PATIENCE = 4000; // ms that the broker has for an answer
  const SAMPLES = 150; // of the charts: five minutes
  const OLD = 5; // s after which a list is said to be of then

  const byId = (id) => document.getElementById(id);
  const find = (from, path) => path.split('/').reduce((at, key) => at?.[key], from);

  // An element with text, or with other elements.
  function make(tag, attributes, ...content) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...content);
    return element;
  }

  // ---- figures as text

  const grouped = (value, places) =>
    value.toLocaleString('en', {minimumFractionDigits: places, maximumFractionDigits: places});

  // Three digits, and the largest unit that leaves something before the point.
  function scaled(value, units) {
    const [size, name] = units.find(([least]) => value >= least) ?? units[units.length - 1];
    const number = value / size;
    return `${grouped(number, number >= 100 ? 0 : number >= 10 ? 1 : 2)} ${name}`;
  }

  const TIMES = [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs']];
  const BYTES = [[2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']];

  function age(seconds) {
    if (seconds < 100) return `${grouped(seconds, seconds && seconds < 9.95 ? 1 : 0)} s`;
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
    if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days ${hours % 24} h`;
  }

  const forms = {
    text: (value) => String(value),
    count: (value) => grouped(value, 0),
    rate: (value) => `${value > 0 && value < 0.05 ? '< 0.1' : grouped(value, value > 0 && value < 99.95 ? 1 : 0)} /s`,
    time: (value) => (value ? scaled(value, TIMES) : '–'), // 0: nothing was measured
    bytes: (value) => scaled(value, BYTES),
    age,
  };

  // '–' for what the broker does not say.
  const show = (value, form) => (value === undefined || value === null ? '–' : forms[form](value));

  // ---- tiles and lists

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function showFigures(status) {
    for (const element of document.querySelectorAll('[data-figure]'))
      setText(element, show(find(status, element.dataset.figure), element.dataset.form));
    for (const tile of document.querySelectorAll('[data-warn]')) {
      const value = find(status, tile.querySelector('[data-figure]').dataset.figure);
      tile.toggleAttribute('data-warned', value > 0);
    }
  }

  // A row: its first cell is its heading. Cells are texts, or elements; [cell, classes] has classes.
  function row(...cells) {
    return make('tr', {}, ...cells.map((cell, i) => {
      const [content, classes] = Array.isArray(cell) ? cell : [cell, ''];
      return make(i ? 'td' : 'th', {...(i ? {} : {scope: 'row'}), ...(classes && {class: classes})}, content);
    }));
  }

  // Rows that are what they were stay as they are, so that the focus stays too.
  function setRows(table, caption, rows) {
    setText(table.caption, caption);
    const body = table.tBodies[0];
    rows.forEach((fresh, i) => {
      const old = body.rows[i];
      if (!old) body.append(fresh);
      else if (old.cells[0].textContent !== fresh.cells[0].textContent) old.replaceWith(fresh);
      else [...fresh.cells].slice(1).forEach((cell, k) => {
        const shown = old.cells[k + 1];
        if (!shown.isEqualNode(cell)) shown.replaceWith(cell);
      });
    });
    while (body.rows.length > rows.length) body.lastElementChild.remove();
  }

  // What is said of a list that the broker has, or has not.
  function about(list, rows, none, some) {
    if (!list) return 'Not known: the orderer has not looked yet, or does not answer.';
    const then = list.seconds_ago >= OLD ? ` As of ${age(list.seconds_ago)} ago.` : '';
    return `${rows.length ? some : none}${list.whole ? '' : ' Not all were looked at.'}${then}`;
  }

  const idOf = (item, name) => item[name] ?? (item[`${name}_base64`] ? `base64 ${item[`${name}_base64`]}` : '(route)');

  // As a URL has it: bytes that are no text are percent-encoded one by one.
  function encodedOf(item) {
    if (item.client !== undefined) return encodeURIComponent(item.client);
    const bytes = [...atob(item.client_base64)];
    return bytes.map((byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');
  }

  function clientButton(client) {
    const button = make('button', {type: 'button', class: 'id'}, idOf(client, 'client'));
    button.addEventListener('click', () => explain(encodedOf(client), idOf(client, 'client')));
    return button;
  }

  function showClients(list) {
    const rows = list?.clients ?? [];
    setRows(byId('clients'),
      about(list, rows, 'All clients move.', 'Those that stand still for longest, a second at least.'),
      rows.map((client) => row(clientButton(client), [show(client.still_seconds, 'age'), 'number'], client.why)));
  }

  function showReceivers(list) {
    const rows = list?.receivers ?? [];
    setRows(byId('receivers'),
      about(list, rows, 'No receiver keeps its clients waiting.',
        'Those whose oldest push waits for longest, a second at least.'),
      rows.map((receiver) => row(idOf(receiver, 'receiver'), [show(receiver.waits_seconds, 'age'), 'number'],
        [show(receiver.unacknowledged, 'count'), 'number'], [show(receiver.clients, 'count'), 'number wide'],
        [receiver.endpoint ?? '–', 'wide'])));
  }

  function backlog(worker, most) {
    const cell = document.createDocumentFragment();
    const bar = make('span', {class: 'bar'});
    bar.style.width = most ? `${100 * worker.backlog_messages / most}%` : '0';
    cell.append(forms.count(worker.backlog_messages), bar);
    return cell;
  }

  function showWorkers(status, before) {
    const seconds = status.uptime_seconds - before?.uptime_seconds;
    const most = Math.max(...status.workers.map((worker) => worker.backlog_messages));
    setRows(byId('workers'), byId('workers').caption.textContent, status.workers.map((worker, i) => row(
      String(worker.worker), [backlog(worker, most), 'number'], [show(worker.inflight_messages, 'count'), 'number'],
      [show(before && (worker.sent_messages - (before.workers[i]?.sent_messages ?? 0)) / seconds, 'rate'), 'number'],
      [show(worker.endpoints, 'count'), 'number wide'], [show(worker.endpoints_blocked, 'count'), 'number wide'],
      [show(worker.send.p99, 'time'), 'number wide'])));
  }

  function showRefused(status, before) {
    const seconds = status.uptime_seconds - before?.uptime_seconds;
    const refused = Object.entries(status.orderer.outcomes)
      .filter(([outcome, count]) => count && outcome !== 'accepted' && outcome !== 'duplicate');
    setRows(byId('refused'), refused.length ? 'Pushes that were not taken, by outcome' : 'No push was refused.',
      refused.map(([outcome, count]) => row(outcome.replaceAll('_', ' '),
        [show(before && (count - before.orderer.outcomes[outcome]) / seconds, 'rate'), 'number'],
        [show(count, 'count'), 'number'])));
  }

  // ---- one client

  async function explain(encoded, name) {
    setText(byId('explained-client'), name);
    setText(byId('explained-advice'), '');
    setText(byId('explained-all'), '');
    setText(byId('explained-why'), 'asking the broker');
    if (!byId('explained').open) byId('explained').showModal();
    try {
      const client = await ask(`api/clients?client=${encoded}`);
      setText(byId('explained-why'), client.why ?? client.error);
      setText(byId('explained-advice'), client.advice ?? '');
      setText(byId('explained-all'), JSON.stringify(client, null, 2));
    } catch {
      setText(byId('explained-why'), 'the broker does not answer');
    }
  }

  byId('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    const client = byId('ask-client').value;
    explain(encodeURIComponent(client), client);
  });

  // ---- charts

  const CHARTS = [
    {title: 'Pushes', form: 'rate', series: [['accepted', 'recent/accepted_per_second'],
      ['delivered', 'recent/delivered_per_second'], ['refused', 'recent/refused_per_second']]},
    {title: 'Kept', form: 'count', series: [['held behind gaps', 'orderer/held_messages'],
      ['not acknowledged', 'orderer/retained_messages']]},
    {title: 'Enqueue: from receipt to outcome', form: 'time', series: [['p50', 'recent/enqueue/p50'],
      ['p99', 'recent/enqueue/p99']]},
    {title: 'Delivery: from first send to ack', form: 'time', series: [['p50', 'recent/delivery/p50'],
      ['p99', 'recent/delivery/p99']]},
  ];
  const COLOURS = ['--first', '--second', '--third'];
  const DASHES = [[], [7, 4], [2, 3]];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

  // Times differ by powers of ten, and p50 is to be seen beside p99.
  const TIME_SCALE = {distr: 3, range: (_, least, most) =>
    (least ? [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(most * 1.01))] : [1e-6, 1e-3])};

  const times = []; // s since 1970, of the samples

  const WHOLE = Array.from({length: 36}, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));

  function powersOfTen(_, __, least, most) {
    const first = Math.round(Math.log10(least)), last = Math.round(Math.log10(most));
    return Array.from({length: last - first + 1}, (___, i) => 10 ** (first + i));
  }

  const onAxis = (value, form) => (value ? forms[form](value).replace(/(\.0+)?( \/s)?$|\.0+(?= )/g, '') : '0');

  function axis(size, more) {
    return {stroke: () => colour('--quiet'), grid: {stroke: () => colour('--line'), width: 1}, size,
      ticks: {show: false}, font: '11px system-ui, sans-serif', ...more};
  }

  function valueAxis(form) {
    return axis(64, {values: (_, values) => values.map((value) => onAxis(value, form)),
      ...(form === 'time' ? {splits: powersOfTen, filter: (_, values) => values} : {incrs: WHOLE})});
  }

  // The chart's lines; `onPoint` is told which sample is pointed at, or null.
  function plot(chart, place, onPoint) {
    const options = {width: place.clientWidth || 300, height: 150, legend: {show: false},
      cursor: {y: false, drag: {setScale: false}},
      scales: {x: {range: (_, first, last) => [last - SAMPLES * EVERY / 1000, last]},
        y: chart.form === 'time' ? TIME_SCALE : {range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1]}},
      axes: [axis(28, {values: '{HH}:{mm}'}), valueAxis(chart.form)],
      series: [{}, ...chart.series.map(([label], i) => (
        {label, stroke: () => colour(COLOURS[i]), width: 1.75, dash: DASHES[i], points: {show: false}}))],
      hooks: {setCursor: [(self) => onPoint(self.cursor.idx)]}};
    const lines = new uPlot(options, [times, ...chart.data], place);
    new ResizeObserver(() => lines.setSize({width: place.clientWidth, height: 150})).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => lines.redraw());
    return lines;
  }

  // The chart in words, which is its legend too: what each line is at now, or where it is pointed at.
  function describe(chart, at) {
    const end = at ?? times.length - 1;
    setRows(chart.table, '', chart.series.map(([label], i) => {
      const known = chart.data[i].filter((value) => value !== null);
      const name = make('span', {}, make('span', {class: 'stroke', 'data-n': i}), label);
      return row(name, [show(chart.data[i][end], chart.form), 'number'],
        [show(known.length ? Math.max(...known) : null, chart.form), 'number']);
    }));
    setText(chart.when, at === null || at === undefined ? 'now' : new Date(1000 * times[at]).toLocaleTimeString());
  }

  function addChart(chart) {
    const place = make('div', {class: 'plot', 'aria-hidden': 'true'});
    chart.data = chart.series.map(() => []);
    chart.when = make('th', {scope: 'col', class: 'number'}, 'now');
    chart.table = make('table', {}, make('caption', {}), make('thead', {}, make('tr', {},
      make('th', {scope: 'col'}, 'line'), chart.when, make('th', {scope: 'col', class: 'number'}, 'greatest'))),
      make('tbody', {}));
    byId('charts').append(make('figure', {'aria-label': chart.title}, make('h3', {}, chart.title), place,
      make('figcaption', {}, chart.table)));
    if (window.uPlot) chart.lines = plot(chart, place, (at) => { chart.at = at; describe(chart, at); });
    else place.replaceWith(make('p', {class: 'note'}, 'This broker was built without charts.'));
  }

  function addSample(status) {
    times.push(Date.now() / 1000);
    if (times.length > SAMPLES) times.shift();
    for (const chart of CHARTS) {
      chart.series.forEach(([, path], i) => {
        // Where nothing was measured, a time is 0, and the line has a hole.
        const value = find(status, path) ?? null;
        chart.data[i].push(chart.form === 'time' && !value ? null : value);
        if (chart.data[i].length > SAMPLES) chart.data[i].shift();
      });
      chart.lines?.setData([times, ...chart.data]);
      describe(chart, chart.at);
    }
  }

  function forget() {
    times.length = 0;
    for (const chart of CHARTS) for (const values of chart.data) values.length = 0;
  }

  // ---- asking

  let last = null; // the status before, of the same instance
  let paused = false;

  async function ask(path) {
    const answer = await fetch(path, {cache: 'no-store', signal: AbortSignal.timeout(PATIENCE)});
    return answer.json();
  }

  function setState(state, text) {
    byId('state').dataset.state = state;
    setText(byId('state'), text); // read aloud when it changes, and only then
    document.title = state === 'bad' ? `▲ seqpushd: ${text}` : 'seqpushd';
  }

  function showStatus(status) {
    if (last && last.instance !== status.instance) {
      forget();
      last = null;
    }
    showFigures(status);
    showClients(status.stuck_clients);
    showReceivers(status.slow_receivers);
    showWorkers(status, last);
    showRefused(status, last);
    addSample(status);
    delete byId('state').dataset.since;
    setState(status.ready ? 'good' : 'bad', status.ready ? 'serves' : 'is not ready');
    last = status;
    document.body.dataset.sample = status.uptime_seconds;
  }

  function showSilence() {
    const since = byId('state').dataset.since ||= new Date().toLocaleTimeString();
    setState('bad', `does not answer since ${since}`);
  }

  async function turn() {
    try {
      const status = paused ? null : await ask('api/status').catch(() => undefined);
      if (status === undefined) showSilence();
      else if (status && !paused) showStatus(status);
    } finally {
      setTimeout(turn, EVERY);
    }
  }

  byId('pause').addEventListener('click', () => {
    paused = !paused;
    byId('pause').setAttribute('aria-pressed', paused);
    if (paused) setState('unknown', 'paused');
  });

  CHARTS.forEach(addChart);
  turn();
})();
