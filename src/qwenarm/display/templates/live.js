// The live page: events come in and are shown, requests go out. Whatever others wrote is text, never markup.
"use strict";
const $ = id => document.getElementById(id);
// The bundled model does the English ones in 12 of 12 scenes each; of the other languages the page says that it has not learned them.
const EXAMPLES = [["en", "put the red cube in the blue bowl"], ["en", "put the green cube on the yellow cube"],
  ["es", "pon el cubo rojo en el cuenco azul"], ["zh", "把红色方块放进蓝色碗里"]];
const TONES = { success: "green", unjudged: "yellow", stopped: "none" };
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const MAX_RECORDING_MS = 20000, RECORDING_RATE_HZ = 16000;
let socket, state = {}, quiet = false, recorder, waitsForMicrophone = false, dropped = false;

function make(tag, className, text, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}
function button(text, act) {
  const node = make("button", "", text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}
const ask = request => socket?.readyState === 1 && socket.send(JSON.stringify(request));
const fill = (id, names, chosen) => $(id).replaceChildren(...names.map(name => new Option(name, name, false, name === chosen)));

const PICKERS = ["task", "level", "arm", "policy", "model", "altitude", "perturbation", "strength", "seed", "words"];
const linkTo = values => `#${new URLSearchParams(values)}`;
function chosen(more) {
  history.replaceState(null, "", linkTo(PICKERS.map(id => [id, $(id).value.trim()]))); // what is asked for can be shared
  const perturbation = $("perturbation").value;
  return { task: $("task").value, level: Number($("level").value), arm: $("arm").value, policy: $("policy").value,
    model: $("model").value, altitude: $("altitude").value, seed: Number($("seed").value) || 0,
    perturbations: perturbation === "none" ? {} : { [perturbation]: Number($("strength").value) },
    words: $("words").value.trim(), ...more };
}
function play(more) {
  wait("read", "Starting …");
  ask(chosen({ do: "play", recording: state.recording ?? "", ...more }));
}
function replay(request) {
  wait("verdict", "Starting …");
  ask({ ...request, run: state.main });
}
const corrects = () => state.playing && !state.tour; // a run of the tour is nobody's: words begin one of their own
const showScene = () => { if (!state.playing) ask(chosen({ do: "show" })); };
function openLink() { // fills in what the address names, as far as it is on offer; only a press of a button plays it
  const named = new URLSearchParams(location.hash.slice(1));
  for (const node of PICKERS.filter(id => named.has(id)).map($)) {
    const value = named.get(node.id);
    if (!node.options || [...node.options].some(option => option.value === value)) node.value = value.slice(0, 300);
    if (node.id === "task") levels();
  }
  keepSeed();
}
function keepSeed() { // within its limits
  const seed = $("seed");
  seed.value = String(Math.min(Math.max(Math.round(Number(seed.value)), Number(seed.min)), Number(seed.max)));
}

// What has been asked for and takes a while is told at once; the first news of it puts back what stood there.
const NEWS = new Set(["hello", "ready", "started", "corrected", "heard", "finished", "stopped", "refused", "working", "verdict"]);
const NEWS_OF_WORDS = new Set(["hello", "started", "corrected", "heard", "refused"]); // a run may end while somebody speaks
function wait(id, text, until = NEWS) {
  settle();
  state.waiting = { id, until, before: [...$(id).childNodes] };
  $(id).textContent = text;
}
function settle() {
  if (state.waiting) $(state.waiting.id).replaceChildren(...state.waiting.before);
  state.waiting = null;
}

// What comes in.
const log = run => (run === state.other ? $("other").querySelector("ol") : $("log"));
function entry(event) {
  const id = `turn-${event.run}-${event.turn}`;
  let found = $(id);
  if (!found) {
    found = make("li", "card");
    found.id = id;
    found.append(make("p", "eyebrow", `Turn ${event.turn}`));
    log(event.run).prepend(found);
  }
  return found;
}
function type(node, text) {
  if (quiet || calm) { node.textContent = text; return; }
  let shown = 0;
  node.ariaBusy = "true"; // read aloud once it is whole
  const timer = setInterval(() => {
    shown += Math.max(1, Math.ceil(text.length / 24));
    node.textContent = text.slice(0, shown);
    if (shown >= text.length) { clearInterval(timer); node.ariaBusy = "false"; }
  }, 25);
}
function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
function ring({ tone, x, y, label, label_dx, label_dy, anchor }) {
  const group = svg("g", { class: tone, transform: `translate(${x} ${y})` });
  for (const [name, r] of [["rim", 9.5], ["light", 9.5], ["ring", 9.5], ["dot", 1.8]]) group.append(svg("circle", { class: name, r }));
  const text = svg("text", { x: label_dx, y: label_dy, "text-anchor": anchor });
  text.textContent = label;
  group.append(text);
  return group;
}
function draw(marks) {
  for (const figure of $("frames").children)
    figure.querySelector("svg").append(...marks.filter(mark => mark.camera === figure.dataset.camera).map(ring));
}
const handlers = {
  hello(event) {
    const { choices } = event;
    Object.assign(state, { choices, watchOnly: event.watch_only, ready: event.ready, playing: 0, main: 0, other: 0, working: false });
    if (!$("task").options.length) {
      fill("task", Object.keys(choices.levels), "put");
      fill("arm", choices.arms, "panda"); fill("policy", choices.policies, "vlm"); fill("model", choices.models);
      fill("altitude", choices.altitudes, "step"); fill("perturbation", ["none", ...choices.perturbations]);
      $("seed").value = event.seed;
      levels();
      $("parts").replaceChildren(...choices.parts.map(part => button(part, () => replay({ do: "why", part }))),
        Object.assign(button("find the cause", () => replay({ do: "cause" })), { id: "cause" }),
        ...choices.models.slice(1).map(model => button(`with ${model}`, () => replay({ do: "model", model }))));
      $("examples").replaceChildren(...EXAMPLES.map(([lang, words]) =>
        Object.assign(button(words, () => { $("words").value = words; state.recording = ""; play(); }), { lang })));
      openLink();
      state.linked = location.hash && performance.getEntriesByType("navigation")[0]?.type !== "reload";
    }
    document.body.classList.toggle("watching", event.watch_only);
    handlers.follow({ on: event.follow });
    $("gallery").querySelector(".runs").replaceChildren(...event.old.map(oldRun));
    event.gallery.forEach(handlers.gallery);
    quiet = true;
    event.events.forEach(handle);
    quiet = false;
    update();
  },
  started(event) {
    if (event.beside) {
      state.other = event.run;
      $("other").hidden = false;
      $("other").querySelector("h3").textContent = event.title;
      $("other").querySelector("ol").replaceChildren();
      $("beside").textContent = `left: as it was · right: ${event.title}`;
      badge("outcome", state.finished);
    } else {
      Object.assign(state, { main: event.run, other: 0, finished: "", working: false, knows: false });
      $("log").replaceChildren();
      $("frames").replaceChildren();
      $("other").hidden = true;
      $("beside").textContent = "";
      readAs(event);
    }
    $("verdict").textContent = "";
    $("beside").hidden = !event.beside;
    $("outcome").hidden = !event.beside;
    $("outcome2").hidden = true;
    Object.assign(state, { playing: event.run, tour: event.title === "tour", blind: event.policy?.endsWith("blind") });
    if (event.speed) $("speed").value = String(event.speed);
    if (!event.run) return; // only a scene
    document.body.dataset.run = event.run; // grows only, unlike what is being played
    state.recording = ""; // it went with the words that were heard in it, however they were put right
  },
  looked(event) {
    entry(event).append(make("p", "soft", "thinking …"));
    $("frames").replaceChildren(...event.frames.map(frame => {
      const image = make("img"), marks = svg("svg", { viewBox: "0 0 320 240", "aria-hidden": "true" });
      image.alt = `${frame.camera} camera`;
      image.addEventListener("load", () => marks.setAttribute("viewBox", `0 0 320 ${(320 * image.naturalHeight) / image.naturalWidth}`));
      image.src = `/assets/${encodeURIComponent(frame.png)}`;
      const figure = make("figure", state.blind ? "hidden" : "", "", image, marks, make("figcaption", "", state.blind ? `${frame.camera}, hidden from it` : frame.camera));
      figure.dataset.camera = frame.camera;
      return figure;
    }));
  },
  saying(event) {
    const item = entry(event);
    let said = item.querySelector("pre");
    if (!said) { item.append(said = make("pre")); said.ariaBusy = "true"; }
    said.textContent = [...said.textContent].slice(0, event.start).join("") + event.text; // counted in characters
    said.scrollTop = said.scrollHeight;
  },
  decided(event) {
    const item = entry(event), streamed = item.querySelector("pre"), said = make("pre");
    item.querySelector(".soft")?.remove();
    streamed?.remove();
    item.querySelector(".eyebrow").textContent = `Turn ${event.turn}` + (event.seconds ? `, thought for ${event.seconds.toFixed(2)} s` : "");
    if (event.thought && !event.said.includes(event.thought)) item.append(make("p", "", event.thought));
    if (event.said) { item.append(said); streamed ? (said.textContent = event.said.trim()) : type(said, event.said.trim()); }
    if (event.error) item.append(make("p", "result red", event.error));
    draw(event.marks);
  },
  oracle(event) {
    state.knows = true;
    entry(event).append(make("p", "truth", `oracle: ${event.call}`));
    draw(event.marks.map(mark => ({ ...mark, tone: "truth", label: mark.label.replace(/^1 /, "") })));
  },
  calling(event) { entry(event).append(make("p", "call", event.call)); },
  called(event) { entry(event).append(make("p", `result ${event.ok ? "green" : "red"}`, event.result)); },
  follow(event) { $("follow").setAttribute("aria-pressed", String(event.on)); },
  heard(event) {
    $("words").value = event.text;
    state.recording = event.recording;
    if (corrects()) send(`This was heard: “${event.text}”. `);
    else { $("read").textContent = "This was heard. Correct it if it is wrong, then press “Do it”."; $("words").focus(); }
  },
  corrected(event) { state.recording = ""; note(event, `Corrected${event.speech?.heard ? " aloud" : ""}: ${event.instruction}`); readAs(event); },
  touched(event) { note(event, `By a visitor, ${event.text}.`); },
  finished(event) {
    badge(event.run === state.other ? "outcome2" : "outcome", event.outcome);
    if (event.detail) note(event, event.detail);
    if (event.run === state.main) state.finished = event.outcome;
    state.playing = 0;
    pause(false);
  },
  stopped() {
    if (state.working) $("verdict").textContent = "";
    Object.assign(state, { playing: 0, working: false });
    pause(false);
  },
  ready() { state.ready = true; },
  loading(event) { wait("read", `Loading ${event.model} …`); },
  working(event) { state.working = true; $("verdict").textContent = event.text; },
  verdict(event) {
    state.working = false;
    $("verdict").textContent = event.text;
    if (event.beside === state.other) $("beside").append(make("span", "shows", `\n${event.text}`));
  },
  pace(event) {
    pause(event.paused);
    $("speed").value = String(event.speed);
  },
  clock(event) { $("clock").replaceChildren(`${event.t.toFixed(1)} s · `, make("span", "long", "real-time factor "), `${event.rate.toFixed(2)}×`); },
  refused(event, asked) {
    if (quiet) return;
    if (asked === "verdict" || state.working) { // where it was asked for: on a phone nothing else is in sight
      state.working = false;
      $("verdict").replaceChildren(make("span", "bad", event.text));
      return;
    }
    complain(event.text);
    if (event.anyway) $("read").prepend(button("Play it all the same", () => play({ anyway: true })));
  },
  turn(event) {
    const { place, taken, waiting, visitors } = event, others = visitors - 1;
    state.mine = !state.watchOnly && (place === 0 || !taken);
    $("turn").textContent = state.watchOnly ? "You watch what another process plays." :
      place === 0 ? `You play${others ? `; ${others} ${others === 1 ? "watches" : "watch"}` : ""}${waiting ? `, ${waiting} waiting` : ""}.` :
      place > 0 ? `You are number ${place} in the queue.` : taken ? "Somebody else plays; you watch." : "Type what the arm shall do.";
    $("ask").hidden = state.watchOnly || place >= 0 || !taken;
    $("pass").hidden = place !== 0;
    if (state.linked && state.mine) showScene();
    state.linked = false;
  },
  gallery(event) {
    const runs = $("gallery").querySelector(".runs"), card = finishedRun(event), there = $(card.id);
    if (!there) { runs.prepend(card); return; }
    const focused = [...there.querySelectorAll("a, button")].indexOf(document.activeElement);
    there.replaceWith(card);
    card.querySelectorAll("a, button")[focused]?.focus({ preventScroll: true });
  },
};
function complain(text) { settle(); $("read").replaceChildren(make("span", "bad", text + " ")); }
function pause(on) {
  state.paused = on;
  $("pause").setAttribute("aria-pressed", String(on));
}
function badge(id, outcome) {
  Object.assign($(id), { hidden: false, className: `badge ${TONES[outcome] ?? "red"}`, textContent: outcome });
}
function note(event, text) {
  const list = log(event.run);
  list.prepend(make("li", "card note", text));
}
function readAs(event) {
  const text = event.unjudged ? `nobody will judge this: ${event.unjudged}` : event.read_as ? `read as: ${event.read_as}` : "";
  state.instruction = event.instruction;
  const next = event.kind === "started" && !event.run && !state.watchOnly ? "press Play to have this done" : "";
  $("read").replaceChildren(make("bdi", "", `“${event.instruction}”`), ...[text, next, event.caution].filter(Boolean).map(each => ` — ${each}`));
}
const taskOf = run => (run.words ? "own words" : run.task); // these make a scene of their own
function finishedRun(event) {
  const links = make("div", "links"), box = make("div", "", "", make("span", `badge ${TONES[event.outcome] ?? "red"}`, event.outcome),
    make("p", "", event.instruction), make("p", "soft", [taskOf(event), event.policy, event.title, `seed ${event.seed}`].filter(Boolean).join(" · ")), links);
  const link = (name, file) => { // a dataset is kept; whatever a browser can show opens beside this page
    const a = Object.assign(make("a", "", name), { href: `/runs/${event.run}/${file}`, rel: "noopener" });
    Object.assign(a, file.endsWith(".zip") ? { download: "" } : { target: "_blank" });
    links.append(a);
  };
  if (event.stored) link("page", "page.html");
  if (event.stored && event.picked && !state.watchOnly) links.append(Object.assign(make("a", "", "set up again"), { href: linkTo({ ...event.picked, seed: event.seed }) }));
  for (const [format, name, file] of [["mp4", "MP4", "film.mp4"], ["gif", "GIF", "film.gif"], ["lerobot", "LeRobot", "lerobot.zip"]]) {
    if (event[format]) { link(name, file); continue; }
    if (!event.can_be_filmed || state.watchOnly) continue;
    const busy = Boolean(event.making?.includes(format));
    links.append(Object.assign(button(busy ? `making ${name} …` : `make ${name}`, () => ask({ do: "export", run: event.run, format })), { ariaDisabled: String(busy) }));
  }
  if (event.told) box.append(make("p", "soft", event.told));
  const card = make("article", "card"), image = make("img");
  card.id = `run-${event.run}`;
  card.ariaLabel = `${event.outcome}: ${event.instruction}`; // its links have the same names as those of other runs
  image.alt = "";
  if (event.thumbnail) { image.src = `/assets/${encodeURIComponent(event.thumbnail)}`; card.append(image); }
  card.append(box);
  return card;
}
function oldRun(old) {
  const watch = make("div", "links", "", button("watch", () => ask({ do: "replay", index: old.index })));
  return make("article", "card", "", make("div", "", "", make("span", `badge ${TONES[old.outcome] ?? "red"}`, old.outcome),
    make("p", "", old.instruction), make("p", "soft", `${taskOf(old)} · old episode ${old.index + 1}`), watch));
}
function handle(event) {
  const asked = state.waiting?.id;
  if (state.waiting?.until.has(event.kind)) settle();
  handlers[event.kind]?.(event, asked);
  update();
}
function update() {
  const running = Boolean(state.playing), able = state.mine && !state.watchOnly;
  document.body.dataset.playing = String(running);
  document.body.toggleAttribute("data-finished", Boolean(state.finished)); // a phone shows then what explains it
  $("go").textContent = corrects() ? "Correct it" : state.ready ? "Do it" : "Loading …";
  $("speak").disabled = !able || !navigator.mediaDevices;
  for (const id of ["go", "words"]) $(id).disabled = !able || (!running && !state.ready && id === "go");
  for (const id of ["pause", "slip"]) $(id).disabled = !able || !running;
  $("stop").disabled = !able || !(running || state.working);
  $("follow").disabled = !able;
  $("oracle").disabled = !state.knows; // of nothing that nobody judges, and of what other processes play
  for (const id of ["play", "again", "new"]) $(id).disabled = !able || !state.ready;
  for (const control of document.querySelectorAll("#setup select, #setup input, #speed, #examples button")) control.disabled = !able;
  const explained = state.finished || (running && !state.other); // pressed in mid-run, it ends the run and begins anew
  for (const part of $("parts").children) part.disabled = !able || !explained || (part.id === "cause" && (running || state.finished === "success"));
  $("why").querySelector("h2").textContent = `Why did it ${state.finished === "success" ? "succeed" : "fail"}?`;
}
function levels() { fill("level", Array.from({ length: state.choices.levels[$("task").value] }, (_, i) => String(i + 1))); }

// What goes out.
function send(told = "") {
  const text = $("words").value.trim();
  if (!corrects() || !text) return play();
  if (text === state.instruction) return; // pressed twice
  wait("read", `${told}The arm is told at its next look.`);
  ask({ do: "correct", text, recording: state.recording ?? "" });
}
$("say").addEventListener("submit", event => { event.preventDefault(); send(); });

$("words").addEventListener("input", () => { if (!$("words").value) state.recording = ""; });

// The microphone: recorded in whatever format the browser has, sent as a WAV file, and nothing moves until its words are sent back.
async function record() {
  if (waitsForMicrophone) return; // the browser still asks whether it may
  let stream;
  waitsForMicrophone = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    recorder = new MediaRecorder(stream);
  } catch (error) {
    stream?.getTracks().forEach(track => track.stop());
    complain(`The microphone cannot be used: ${error.message.replace(/\.$/, "")}. Type it instead.`);
    return;
  } finally { waitsForMicrophone = false; }
  const parts = [];
  ask({ do: "listen" });
  recorder.addEventListener("dataavailable", part => parts.push(part.data));
  recorder.addEventListener("stop", async () => {
    recorder = null;
    stream.getTracks().forEach(track => track.stop());
    $("speak").setAttribute("aria-pressed", "false");
    $("speak").textContent = "Speak";
    if (dropped) return settle();
    wait("read", "Recognising what you said …", NEWS_OF_WORDS);
    try {
      const data = await new Blob(parts).arrayBuffer();
      const sound = await new OfflineAudioContext(1, 1, RECORDING_RATE_HZ).decodeAudioData(data);
      if (socket.readyState === 1) socket.send(wav(sound.getChannelData(0)));
    } catch (error) { complain(`The recording cannot be read: ${error.message}.`); }
  });
  dropped = false;
  recorder.start();
  setTimeout(() => recorder?.state === "recording" && recorder.stop(), MAX_RECORDING_MS);
  $("speak").setAttribute("aria-pressed", "true");
  $("speak").textContent = "Listening";
  wait("read", "Listening: press again when you have said it, Escape to drop it.", NEWS_OF_WORDS);
}
function wav(samples) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length)), bytes = 2 * samples.length, rate = RECORDING_RATE_HZ;
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + bytes, true); text(8, "WAVEfmt "); view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, bytes, true);
  samples.forEach((sample, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, sample)) * 32767, true));
  return view.buffer;
}
$("speak").addEventListener("click", () => (recorder ? recorder.stop() : record()));
document.addEventListener("keydown", event => {
  if (event.key !== "Escape" || !recorder) return;
  dropped = true; // also a recording that has just ended by itself
  if (recorder.state === "recording") recorder.stop();
});
if (!navigator.mediaDevices) $("speak").title = "Browsers give the microphone only to pages on localhost or behind https.";
function askPause(on) {
  pause(on); // at once, so that a second click before the answer takes the first one back
  ask({ do: "pause", on });
}
$("play").addEventListener("click", () => (state.playing && state.paused ? askPause(false) : play()));
$("pause").addEventListener("click", () => askPause(!state.paused));
$("stop").addEventListener("click", () => ask({ do: "stop" }));
$("again").addEventListener("click", () => { ask({ do: "stop" }); ask(chosen({ do: "show" })); });
$("new").addEventListener("click", () => { $("seed").value = String(Number($("seed").value) + 1); ask({ do: "stop" }); ask(chosen({ do: "show" })); });
$("slip").addEventListener("click", () => ask({ do: "slip" }));
$("follow").addEventListener("click", () => ask({ do: "follow", on: $("follow").getAttribute("aria-pressed") !== "true" }));
$("oracle").addEventListener("click", () => {
  $("oracle").setAttribute("aria-pressed", String(document.body.toggleAttribute("data-oracle")));
});
$("speed").addEventListener("change", () => ask({ do: "speed", speed: Number($("speed").value) }));
$("ask").addEventListener("click", () => ask({ do: "ask" }));
$("pass").addEventListener("click", () => ask({ do: "pass" }));
$("task").addEventListener("change", levels);
$("setup").addEventListener("change", event => {
  if (event.target.id === "task") $("words").value = "";
  keepSeed();
  showScene();
});
addEventListener("hashchange", () => {
  openLink();
  if (state.mine) showScene();
  scrollTo({ top: 0, behavior: calm ? "instant" : "smooth" });
});

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/events`);
  socket.addEventListener("message", message => handle(JSON.parse(message.data)));
  socket.addEventListener("close", () => {
    $("turn").textContent = "The connection is lost; trying again …";
    state.mine = false; // what is asked for now would be lost: the buttons wait for the connection
    update();
    setTimeout(connect, 1000);
  });
}
connect();
