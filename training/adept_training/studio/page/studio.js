// The page of `adept studio`. Text of other people (file names, class names) only ever becomes text nodes and
// attributes: there is no innerHTML here, and the Content-Security-Policy allows no other script.
"use strict";
(() => {
  const TABS = [
    ["proposals", "Proposals", "Boxes that were found in the images without any label. Pre-training learns from them; the best come first."],
    ["views", "Views", "What the network sees of one image in training: crops with changed colors, their boxes by pyramid level, and the anchors that the RPN must take for objects."],
    ["objectness", "Objectness", "Where an RPN expects objects: bright is high. Each map shows ranks within its image, so compare where two networks are bright, not how bright they are."],
    ["predictions", "Predictions", "What a detector finds in an image. Move the slider to see what a threshold would keep."],
    ["errors", "Errors", "Every mistake on the labeled images by kind (TIDE), with the points of AP50 that fixing all of one kind would give back."],
    ["runs", "Runs", "Fine-tunings from different starts. A dot is one run; runs of one seed saw the same labels in the same order, so they are compared in pairs."],
  ];
  const SKY = "#56b4e9", ORANGE = "#e69f00", GREEN = "#009e73", RED = "#d55e00", BLUE = "#0072b2", PINK = "#cc79a7",
    YELLOW = "#f0e442", WHITE = "#ffffff";
  const LEVELS = [RED, ORANGE, GREEN, BLUE];
  const CLASSES = [SKY, ORANGE, GREEN, PINK, YELLOW, BLUE, RED];
  const EXTRA = new Set([3, 4]); // columns that a narrow screen leaves out
  const SOURCES = [BLUE, ORANGE, GREEN, PINK, RED, SKY];
  const KINDS = {
    Cls: [PINK, "right location, wrong class"], Loc: [ORANGE, "right class, too far off"],
    Both: [YELLOW, "wrong class and too far off"], Dupe: [GREEN, "already found by a better box"],
    Bkg: [RED, "nothing is there"], Miss: [SKY, "an object that nothing found"],
  };
  const $ = (id) => document.getElementById(id);
  const embedded = $("content") ? JSON.parse($("content").textContent) : null;
  const state = { tab: "", set: 0, image: 0, page: 0, top: 30, truth: true, table: 0, view: 0, epoch: 0, left: 0, right: 1,
    level: "all", opacity: 60, model: 0, score: 0.3, hidden: new Set(), tuned: 0, kinds: new Set(Object.keys(KINDS)),
    kindClass: -1, errorScore: 0.3, error: 0, comparison: 0, metric: 0 };
  let start = null, ticket = 0, errorRows = [], redraw = null;

  // --- small helpers -------------------------------------------------------------------------------------------
  function h(tag, options, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(options || {})) {
      if (name === "on") for (const [event, call] of Object.entries(value)) element.addEventListener(event, call);
      else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }
  function svg(tag, options, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(options || {})) element.setAttribute(name, value);
    element.append(...children.flat().filter(Boolean));
    return element;
  }
  const number = (value, digits = 1) => value === null || value === undefined ? "-" : value.toFixed(digits);
  const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : word.endsWith("x") ? "es" : "s"}`;
  const signed = (value, digits = 1) => `${value > 0 ? "+" : value < 0 ? "\u2212" : ""}${Math.abs(value).toFixed(digits)}`;
  const set = () => start.sets[state.set];
  const address = (kind, ...numbers) => `/api/${kind}/${numbers.join("/")}.json`;
  const source = (path) => embedded ? embedded[path] : path;
  const classColor = (at) => CLASSES[at % CLASSES.length];

  async function load(path) {
    if (embedded) return embedded[path] || { error: "This page in one file does not contain that." };
    try {
      return await (await fetch(path)).json();
    } catch {
      return { error: "adept studio does not answer any more. Start it again, then reload this page." };
    }
  }

  // --- controls ------------------------------------------------------------------------------------------------
  function slider(name, { low, high, step = 1, value, show = String, change, id }) {
    const output = h("output", {}, show(value));
    const input = h("input", { type: "range", min: low, max: high, step, value, id, "aria-label": name,
      on: { input: () => { output.textContent = show(Number(input.value)); change(Number(input.value)); } } });
    return h("label", { class: "field" }, h("span", {}, name, output), input);
  }
  function select(name, rows, value, change, id) {
    const box = h("select", { id, "aria-label": name, on: { change: () => change(Number(box.value)) } },
      rows.map((row, i) => h("option", { value: i, selected: i === value }, row)));
    return h("label", { class: "field" }, h("span", {}, name), box);
  }
  function check(text, checked, change, { count = null, color = null, id = null } = {}) {
    const input = h("input", { type: "checkbox", checked, id, on: { change: () => change(input.checked) } });
    return h("label", { class: "check" }, input, color && h("i", { class: "swatch", style: { background: color } }),
      h("span", { class: "text" }, text), count === null ? null : h("span", { class: "number" }, count));
  }
  const card = (title, ...children) => h("div", { class: "card" }, title && h("h2", {}, title), children);
  const legend = (...rows) => h("div", { class: "legend" }, rows.map(([color, text, dashed]) =>
    h("span", {}, h("i", { class: `key${dashed ? " dashed" : ""}${color === WHITE ? " white" : ""}`, style: { "border-color": color } }), text)));
  const wait = (text = "One moment ...") => h("p", { class: "wait" }, text);

  function blank(title, why, command) {
    return h("div", { class: "blank" }, h("h2", {}, title), h("p", {}, why), command && h("pre", {}, command));
  }
  function failed(document_) {
    const [first, ...rest] = document_.error.split("\n");
    return blank("Nothing to show here", first, rest.join("\n"));
  }

  // --- a picture with boxes ------------------------------------------------------------------------------------
  // A box is { box: [x1, y1, x2, y2], color, dash, width, label, title, key }, in pixels of the image.
  function picture(src, size, boxes, { alt = "", map = null, opacity = 60, tall = 68, hover = null } = {}) {
    const frame = h("div", { class: "frame" });
    const image = h("img", { src, alt, decoding: "async", draggable: "false" });
    image.addEventListener("error", () => frame.replaceChildren(h("p", { class: "broken" }, "This image cannot be read.")));
    const fit = (width, height) => {
      frame.style.aspectRatio = `${width} / ${height}`;
      frame.style.maxWidth = `calc(${tall}vh * ${(width / height).toFixed(4)})`;
    };
    frame.append(image);
    if (size) fit(...size);
    else image.addEventListener("load", () => fit(image.naturalWidth, image.naturalHeight));
    if (map) frame.append(h("img", { class: "map", src: map, alt: "", style: { opacity: opacity / 100 } }));
    if (!size || !boxes) return frame;
    hover = hover || ((key) => frame.light(key));
    const drawing = svg("svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const labels = h("div", { class: "labels", "aria-hidden": "true" });
    frame.append(drawing, labels);
    const area = (one) => (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]);
    frame.show = (rows) => {
      drawing.replaceChildren(...rows.map((one, at) => ({ key: `box ${at}`, ...one })).sort((a, b) => area(b) - area(a)).map((one) => mark(one, hover)));
      frame.rows = rows;
      frame.place();
    };
    frame.light = (key) => {
      drawing.classList.toggle("focus", key !== null);
      for (const group of drawing.children) group.classList.toggle("on", key !== null && group.dataset.key === String(key));
    };
    frame.place = () => placeLabels(labels, frame, size);
    new ResizeObserver(() => frame.place()).observe(frame);
    frame.show(boxes);
    return frame;
  }
  function mark(one, hover) {
    const [x1, y1, x2, y2] = one.box;
    const place = { x: x1, y: y1, width: Math.max(x2 - x1, 0.1), height: Math.max(y2 - y1, 0.1) };
    const width = one.width || 2;
    const line = svg("rect", { ...place, stroke: one.color, "stroke-width": width, ...(one.dash ? { "stroke-dasharray": "6 4" } : {}) });
    const group = svg("g", {},
      svg("rect", { ...place, class: "halo", "stroke-width": width + 2 }), line);
    if (one.title) line.append(svg("title", {}, one.title));
    if (one.key !== undefined) {
      group.dataset.key = one.key;
      if (hover) {
        group.addEventListener("pointerenter", () => hover(one.key));
        group.addEventListener("pointerleave", () => hover(null));
      }
    }
    return group;
  }
  // Labels stand above their box, or inside it at the top; one that would cover another is left out.
  function placeLabels(layer, frame, size) {
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    const taken = [], spans = [];
    if (!width) return;
    for (const one of frame.rows) {
      if (!one.label || (width < 480 && taken.length > 11)) continue;
      const wide = Math.min(one.label.length * 6.7 + 11, width * 0.6), high = 17;
      const left = Math.max(0, Math.min((one.box[0] / size[0]) * width, width - wide));
      const y = (one.box[1] / size[1]) * height, bottom = (one.box[3] / size[1]) * height;
      const spots = [y - high, y, bottom].filter((top) => top >= 0 && top + high <= height);
      const top = spots.find((at) => !taken.some(([a, b, c, d]) => left < c && left + wide > a && at < d && at + high > b));
      if (top === undefined) continue;
      taken.push([left, top, left + wide, top + high]);
      spans.push(h("span", { style: { left: `${left}px`, top: `${top}px`, background: one.color, color: ink(one.color) } }, one.label));
    }
    layer.replaceChildren(...spans);
  }
  function ink(color) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    return 0.299 * r + 0.587 * g + 0.114 * b > 120 ? "#000" : "#fff";
  }

  // --- tabs ----------------------------------------------------------------------------------------------------
  const drawTab = {
    async proposals(my) {
      const document_ = await load(address("boxes", state.set, state.image));
      if (my !== ticket) return;
      if (document_.error) return show([bar(), failed(document_)]);
      state.table = Math.min(state.table, start.tables.length - 1);
      const found = document_.tables[state.table];
      const choose = start.tables.length > 1 && select("Table", start.tables, state.table, (at) => { state.table = at; draw(); });
      if (!found) {
        const why = `The table ${start.tables[state.table]} has no boxes for this image: it belongs to other images.`;
        return show([bar(), figure(picture(large(), null, null, { alt: name() })), h("p", { class: "note" }, why)], [choose && card("Boxes", choose)]);
      }
      const most = Math.max(found.boxes.length, 1), truth = document_.truth;
      const frame = picture(large(), found.size, [], { alt: name() });
      const words = h("p", { class: "big" }), more = h("p", {});
      const update = () => {
        const top = Math.min(state.top, most);
        const rows = found.boxes.slice(0, top).map((box, i) => ({ box, color: i < 10 ? ORANGE : SKY, width: i < 10 ? 2 : 1.3,
          label: i < 10 ? String(i + 1) : "", title: `box ${i + 1}` })).reverse();
        let covered = 0, counted = 0;
        if (truth) truth.forEach((one, m) => {
          const rank = found.first[m];
          if (rank === 0) return;
          const is = rank !== null && rank <= top;
          counted += 1;
          covered += is;
          if (state.truth) rows.push({ box: one.box, color: is ? GREEN : RED, dash: !is, width: 3, label: one.name,
            title: rank === null ? `${one.name}: no box covers it` : `${one.name}: first covered by box ${rank}` });
        });
        words.textContent = truth ? `${covered} of ${many(counted, "object")} covered` : `${Math.min(top, found.boxes.length)} of ${many(found.boxes.length, "box")}`;
        more.textContent = truth ? `by the first ${many(top, "box")}, at an IoU of at least 0.5.` : `of the preset ${found.preset}${found.fallback ? ", by its fallback: the filter left nothing" : ""}.`;
        frame.show(rows);
      };
      update();
      const rows = [[ORANGE, "the best ten, numbered"], [SKY, "the others"]];
      if (truth) rows.push([GREEN, "object, covered"], [RED, "object, missed", true]);
      show([bar(), figure(frame), legend(...rows)], [
        card("Boxes", choose, slider("Show the first", { low: 1, high: most, value: Math.min(state.top, most), id: "top", change: (value) => { state.top = value; update(); } }),
          truth && check("Labeled objects", state.truth, (on) => { state.truth = on; update(); }, { id: "truth" }), words, more),
        truth && recall(),
      ]);
    },

    async views(my) {
      state.view = Math.min(state.view, start.views.length - 1);
      const document_ = await load(address("views", state.set, state.image, state.view, state.epoch));
      if (my !== ticket) return;
      const choose = start.views.length > 1 && select("Recipe of", start.views, state.view, (at) => { state.view = at; draw(); });
      const next = !embedded && h("button", { type: "button", id: "epoch", on: { click: () => { state.epoch += 1; draw(); } } }, "Draw the next epoch");
      if (document_.error) return show([bar(), failed(document_)], [choose && card("Views", choose)]);
      if (document_.missing !== undefined) {
        const why = `This image is not one of the pre-training: the table ${document_.missing} has no boxes for it.`;
        return show([bar(), blank("No views of this image", why)], [choose && card("Views", choose)]);
      }
      const [a, b, c] = document_.levels;
      const frames = document_.panels.map((one) => figure(picture(one.image, one.size, one.boxes.map((box) => ({
        box: box.box, color: box.level < 0 ? WHITE : LEVELS[box.level], width: one.positives === null ? 2.5 : box.level < 0 ? 2.2 : 1.4,
        label: box.name, title: box.level < 0 ? "target, or a filler" : `P${box.level + 2}` })), { alt: one.title, tall: 60 }), caption(one.title)));
      const positives = document_.panels.filter((one) => one.positives !== null).reduce((sum, one) => sum + one.positives, 0);
      const trains = document_.panels.some((one) => one.positives !== null);
      show([bar(), h("div", { class: "frames" }, frames), legend([LEVELS[0], `P2: up to ${a} px`], [LEVELS[1], `P3: up to ${b} px`],
        [LEVELS[2], `P4: up to ${c} px`], [LEVELS[3], "P5: larger"], [WHITE, "target among anchors, or a filler"])], [
        card("Views", choose, h("p", { class: "big" }, `Epoch ${document_.epoch}`), h("p", {}, document_.held_out
          ? "This image was held out: the run never trained on it." : "These are the crops that the run drew of this image."), next && h("div", { class: "below" }, next)),
        trains && card("Anchors", h("p", { class: "big" }, many(positives, "positive anchor")),
          h("p", {}, positives ? "An anchor is positive if it overlaps a box enough, or more than any other anchor does." : "From this image the RPN learns no object: the anchors do not fit its boxes."),
          h("p", {}, `Sides: ${document_.anchors.join(", ")} px, of P2 to P5.`)),
      ]);
    },

    async objectness(my) {
      const names = start.maps.map((one) => one.name);
      state.left = Math.min(state.left, names.length - 1);
      state.right = Math.min(state.right, names.length - 1);
      const sides = [["Left", "left"], ["Right", "right"]];
      const controls = sides.map(([title, key]) => select(title, names, state[key], (at) => { state[key] = at; draw(); }, key));
      const levels = h("div", { class: "choices", role: "group", "aria-label": "Level" }, ["all", "P2", "P3", "P4", "P5"].map((level) =>
        h("button", { type: "button", "aria-pressed": String(level === state.level), on: { click: (event) => {
          state.level = level;
          for (const one of event.target.parentNode.children) one.setAttribute("aria-pressed", String(one === event.target));
          update();
        } } }, level)));
      const frames = h("div", { class: "frames two" }, wait("Looking: the first image loads the weights ..."));
      let maps = null;
      const update = () => maps && frames.replaceChildren(...maps.map((document_, at) => {
        const title = names[state[sides[at][1]]];
        if (document_.error) return failed(document_);
        const one = document_[state.level];
        return figure(picture(large(), null, null, { alt: `objectness by ${title}`, map: one.image, opacity: state.opacity, tall: 60 }),
          h("figcaption", {}, h("b", {}, title), `: probabilities from ${number(one.low, 2)} to ${number(one.high, 2)}`));
      }));
      const opacity = slider("Map over image", { low: 0, high: 100, value: state.opacity, show: (value) => `${value} %`, id: "opacity",
        change: (value) => { state.opacity = value; for (const one of frames.querySelectorAll(".map")) one.style.opacity = value / 100; } });
      show([bar(), frames], [card("Networks", controls), card("Level", levels, h("p", { style: { margin: "8px 0" } },
        "P2 answers for small anchors, P5 for large ones; all: the largest at each pixel."), opacity)]);
      maps = await Promise.all(sides.map(([, key]) => load(address("maps", state.set, state.image, start.maps[state[key]].m))));
      if (my === ticket) update();
    },

    async predictions(my) {
      state.model = Math.min(state.model, start.models.length - 1);
      const choose = start.models.length > 1 && select("Source", start.models.map((one) => one.name), state.model, (at) => { state.model = at; draw(); }, "model");
      show([bar(), wait("Looking: the first image loads the weights ...")], [choose && card("Detector", choose)]);
      const document_ = await load(address("found", state.set, state.image, state.model));
      if (my !== ticket) return;
      if (document_.error) return show([bar(), failed(document_)], [choose && card("Detector", choose)]);
      const list = h("ol", { class: "list" }), words = h("p", { class: "big" }), truth = document_.truth;
      const hover = (key) => { frame.light(key); for (const one of list.querySelectorAll("button")) one.setAttribute("aria-current", String(one.dataset.key === String(key))); };
      const frame = picture(large(), document_.size, [], { alt: name(), hover });
      const regions = document_.regions, top = Math.min(state.top, document_.found.length);
      const title = (one) => regions ? "region" : document_.classes[one.class];
      const update = () => {
        const kept = document_.found.map((one, key) => ({ ...one, key })).filter((one, i) => regions ? i < Math.min(state.top, document_.found.length)
          : one.score >= state.score && !state.hidden.has(document_.classes[one.class]));
        const rows = kept.map((one) => ({ box: one.box, color: regions ? (one.key < 10 ? ORANGE : SKY) : classColor(one.class), key: one.key,
          width: 2.2, label: regions ? (one.key < 10 ? String(one.key + 1) : "") : `${title(one)} ${number(one.score, 2)}`, title: `${title(one)} ${number(one.score, 3)}` }));
        if (truth && state.truth) rows.push(...truth.map((one) => ({ box: one.box, color: WHITE, dash: true, width: 2, title: `labeled: ${one.name}${one.crowd ? ", crowd" : ""}` })));
        frame.show(rows);
        words.textContent = many(kept.length, regions ? "region" : "detection");
        list.replaceChildren(...kept.slice(0, 60).map((one) => h("li", {}, h("button", { type: "button", "data-key": one.key, on: {
          pointerenter: () => hover(one.key), pointerleave: () => hover(null), focus: () => hover(one.key), blur: () => hover(null) } },
          h("i", { class: "swatch", style: { background: regions ? (one.key < 10 ? ORANGE : SKY) : classColor(one.class) } }), h("span", {}, regions ? `region ${one.key + 1}` : title(one)),
          h("span", { class: "number" }, number(one.score, 2))))));
      };
      const counts = new Map();
      for (const one of document_.found) counts.set(one.class, (counts.get(one.class) || 0) + 1);
      const classes = document_.classes.map((word, at) => [word, at]).filter(([, at]) => counts.has(at));
      update();
      show([bar(), figure(frame), legend([regions ? ORANGE : SKY, regions ? "the best ten, numbered" : "detection, colored by class"], ...(regions ? [[SKY, "the others"]] : []), ...(truth ? [[WHITE, "labeled object", true]] : []))], [
        card("Detector", choose, regions ? slider("Show the first", { low: 1, high: Math.max(document_.found.length, 1), value: Math.max(top, 1), id: "top", change: (value) => { state.top = value; update(); } })
          : slider("Score at least", { low: document_.least, high: 1, step: 0.01, value: Math.max(state.score, document_.least), show: (value) => value.toFixed(2), id: "score", change: (value) => { state.score = value; update(); } }),
          truth && check("Labeled objects", state.truth, (on) => { state.truth = on; update(); }, { id: "truth" }),
          regions && h("p", {}, "Pre-trained weights have no classes yet: these are the best regions of the RPN.")),
        !regions && classes.length > 1 && card("Classes", classes.map(([word, at]) => check(word, !state.hidden.has(word), (on) => { state.hidden[on ? "delete" : "add"](word); update(); }, { count: counts.get(at), color: classColor(at) }))),
        card("Found", words, list),
      ]);
    },

    async errors(my) {
      const tuned = start.models.map((one, m) => ({ ...one, m })).filter((one) => one.tuned);
      if (!set().labeled) state.set = start.sets.findIndex((one) => one.labeled);
      state.tuned = Math.min(state.tuned, tuned.length - 1);
      const document_ = await load(address("errors", state.set, tuned[state.tuned].m));
      if (my !== ticket) return;
      if (document_.error) return show([failed(document_)]);
      if (document_.state === "running") {
        show([h("div", { class: "wait" }, h("p", {}, `Evaluating ${tuned[state.tuned].name}: image ${document_.done + 1} of ${document_.images}.`),
          h("progress", { max: document_.images, value: document_.done, style: { "max-width": "360px" } }),
          h("p", {}, "The other tabs can be used meanwhile."))]);
        setTimeout(() => my === ticket && draw(), 1000);
        return;
      }
      const choose = tuned.length > 1 && select("Source", tuned.map((one) => one.name), state.tuned, (at) => { state.tuned = at; state.error = 0; draw(); });
      const stage = h("div", {}), list = h("ol", { class: "list", id: "errors" }), pages = h("div", { class: "pager" }), dearest = Math.max(...document_.kinds.map((one) => one.cost || 0), 0.01);
      const words = (one) => one.kind === "Miss" ? document_.classes[one.class] : one.kind === "Cls" ? `${document_.classes[one.class]}, is ${document_.classes[one.object_class]}` : document_.classes[one.class];
      const point = () => {
        const one = errorRows[state.error];
        if (!one) return stage.replaceChildren(blank("No error is left", "Lower the score, or choose more kinds and classes."));
        state.image = one.i;
        const rows = [];
        if (one.object) rows.push({ box: one.object, color: one.kind === "Miss" ? KINDS.Miss[0] : WHITE, dash: true, width: 2.6, label: `${document_.classes[one.object_class]}, labeled` });
        if (one.found) rows.push({ box: one.found, color: KINDS[one.kind][0], width: 3, label: `${document_.classes[one.class]} ${number(one.score, 2)}` });
        stage.replaceChildren(bar(`${one.image}`, `${state.error + 1} of ${many(errorRows.length, "error")}`, step), figure(picture(source(`/image/${state.set}/${one.i}/large.jpg`), one.size, rows, { alt: one.image }),
          h("figcaption", {}, h("b", {}, `${one.kind}: ${KINDS[one.kind][1]}`), one.ignored ? ". It lies in an ignored region and costs nothing." : "")));
        page();
      };
      const step = (by) => { if (errorRows.length) { state.error = (state.error + by + errorRows.length) % errorRows.length; point(); } };
      const page = () => {
        const each = 20, first = Math.floor(state.error / each) * each;
        list.replaceChildren(...errorRows.slice(first, first + each).map((one, at) => h("li", {}, h("button", { type: "button", "aria-current": String(first + at === state.error),
          on: { click: () => { state.error = first + at; point(); } } }, h("i", { class: "swatch", style: { background: KINDS[one.kind][0] } }),
          h("span", {}, `${one.kind} \u00b7 ${words(one)}`, h("small", {}, one.image)), h("span", { class: "number" }, one.kind === "Miss" ? "" : number(one.score, 2))))));
        const go = (by) => { state.error = Math.max(0, Math.min(errorRows.length - 1, first + by)); point(); };
        pages.replaceChildren(h("button", { type: "button", disabled: first === 0, on: { click: () => go(-each) }, "aria-label": "Earlier errors" }, "\u2039"),
          h("span", {}, errorRows.length ? `${first + 1}\u2013${Math.min(first + each, errorRows.length)} of ${errorRows.length}` : "none"),
          h("button", { type: "button", disabled: first + each >= errorRows.length, on: { click: () => go(each) }, "aria-label": "Later errors" }, "\u203a"));
      };
      const filter = () => {
        errorRows = document_.errors.filter((one) => state.kinds.has(one.kind) && (one.kind === "Miss" || one.score >= state.errorScore)
          && (state.kindClass < 0 || one.class === state.kindClass));
        state.error = Math.min(state.error, Math.max(errorRows.length - 1, 0));
        point();
        page();
      };
      const kinds = h("div", { class: "kinds" }, document_.kinds.map((one) => h("button", { type: "button", "aria-pressed": String(state.kinds.has(one.kind)), "data-kind": one.kind,
        title: `${one.kind}: ${KINDS[one.kind][1]}. ${many(one.count, "error")}; fixing them all would give ${number(one.cost)} points of AP50.`,
        on: { click: (event) => { const on = !state.kinds.has(one.kind); state.kinds[on ? "add" : "delete"](one.kind); event.currentTarget.setAttribute("aria-pressed", String(on)); state.error = 0; filter(); } } },
        h("i", { class: "swatch", style: { background: KINDS[one.kind][0] } }), one.kind, h("span", { class: "track" }, h("i", { style: { width: `${(100 * (one.cost || 0)) / dearest}%`, background: KINDS[one.kind][0] } })),
        h("span", { class: "number" }, number(one.cost)))));
      const capped = document_.kinds.some((one) => one.count > document_.most);
      redraw = step;
      show([stage, legend([WHITE, "the labeled object", true], ["currentColor", "the detection, in the color of its kind"])], [
        card("Points of AP50 by kind", choose, kinds, h("p", { style: { "margin-top": "8px" } }, `AP50 is ${number(document_.ap50)}. Costs do not add up to the rest: each is fixed alone.`)),
        card("Errors", select("Class", ["all classes", ...document_.classes], state.kindClass + 1, (at) => { state.kindClass = at - 1; state.error = 0; filter(); }, "class"),
          slider("Score at least", { low: 0, high: 1, step: 0.01, value: state.errorScore, show: (value) => value.toFixed(2), id: "score", change: (value) => { state.errorScore = value; state.error = 0; filter(); } }),
          list, pages, capped && h("p", {}, `The ${document_.most} of each kind with the highest scores.`)),
      ]);
      filter();
    },

    async runs(my) {
      const document_ = await load(address("runs", state.comparison));
      if (my !== ticket) return;
      const choose = start.comparisons.length > 1 && select("Comparison", start.comparisons, state.comparison, (at) => { state.comparison = at; state.metric = 0; draw(); });
      if (document_.error) return show([choose, failed(document_)]);
      const tables = document_.tables, one = tables[Math.min(state.metric, tables.length - 1)];
      const title = (table) => table.title + (document_.several ? `, ${table.variant}` : "");
      const color = (word) => SOURCES[document_.sources.indexOf(word) % SOURCES.length];
      const charts = h("div", {}), paired = h("div", {});
      const paint = () => {
        const rows = one.cells.filter((cell) => cell.mean);
        charts.replaceChildren(chart(rows.map((cell) => ({ group: cell.budget, label: cell.source, color: color(cell.source), values: Object.entries(cell.values), ...cell.mean })), charts.clientWidth, false));
        const gains = one.cells.filter((cell) => cell.gain);
        paired.replaceChildren(gains.length ? chart(gains.map((cell) => ({ group: cell.budget, label: cell.source, color: color(cell.source), values: Object.entries(cell.pairs), ...cell.gain })), paired.clientWidth, true) : h("p", {}, "No seed has both runs of a pair yet."));
      };
      const rows = one.rows.map((row) => h("tr", {}, row.map((cell, at) => at === 0 ? h("td", {}, h("i", { class: "swatch", style: { background: color(cell), "margin-right": "8px" } }), cell)
        : h("td", { class: cell.endsWith("(better)") ? "better" : cell.endsWith("(worse)") ? "worse" : "" }, cell))));
      const each = document_.runs.map((run) => h("tr", {}, [run.source, run.budget, run.seed, run.images, run.iterations, `${Math.round(run.seconds / 60)} min`, number(run.metrics[one.metric], 2)].map((cell, at) => h("td", { class: EXTRA.has(at) ? "extra" : null }, String(cell)))));
      show([h("div", { class: "run" },
        h("div", { class: "head" }, choose, select("Metric", tables.map(title), Math.min(state.metric, tables.length - 1), (at) => { state.metric = at; draw(); }, "metric")),
        h("p", {}, one.summary),
        h("section", {}, h("h2", {}, `${title(one)}, by number of labels`), charts),
        h("section", {}, h("h2", {}, `Difference from ${document_.sources[0]}, paired by seed`), paired),
        h("section", { class: "scroll" }, h("h2", {}, "Means with 95% intervals, or the values of fewer than three seeds"), h("table", {}, h("thead", {}, h("tr", {}, one.head.map((cell) => h("th", {}, cell)))), h("tbody", {}, rows))),
        one.verdicts.length > 0 && h("section", {}, h("h2", {}, "In words"), h("ul", { class: "verdicts" }, one.verdicts.map((text) => h("li", {}, text)))),
        h("section", { class: "scroll" }, h("h2", {}, many(document_.runs.length, "run")), h("table", {}, h("thead", {}, h("tr", {}, ["source", "labels", "seed", "images", "iterations", "time", one.metric].map((cell, at) => h("th", { class: EXTRA.has(at) ? "extra" : null }, cell)))), h("tbody", {}, each))),
      )]);
      paint();
      watchWidth(charts, paint);
    },
  };

  // --- charts --------------------------------------------------------------------------------------------------
  let widths = null;
  function watchWidth(element, call) {
    if (widths) widths.disconnect();
    let last = element.clientWidth;
    widths = new ResizeObserver(() => { if (Math.abs(element.clientWidth - last) > 1) { last = element.clientWidth; call(); } });
    widths.observe(element);
  }
  // A row per source under the head of its budget: a dot per seed, the mean, and its interval if there is one.
  function chart(rows, width, zero) {
    const narrow = width < 560, left = narrow ? 10 : 170, right = width - 64, every = narrow ? 44 : 28, head = 26;
    const numbers = rows.flatMap((row) => [...row.values.map(([, value]) => value), row.mean - (row.half || 0), row.mean + (row.half || 0)]);
    let low = Math.min(...numbers, 0), high = Math.max(...numbers, zero ? 0 : 1);
    const pad = (high - low || 1) * 0.06;
    if (zero) low -= pad;
    high += pad;
    const x = (value) => left + ((value - low) / (high - low)) * (right - left);
    const parts = [];
    let y = 6, group = null;
    for (const row of rows) {
      if (row.group !== group) {
        group = row.group;
        parts.push(svg("text", { x: 0, y: y + 16, class: "strong" }, group));
        y += head;
      }
      const line = narrow ? y + 28 : y + 14;
      parts.push(svg("text", narrow ? { x: left, y: y + 13 } : { x: left - 14, y: line + 4, "text-anchor": "end" }, row.label.length > 24 ? `${row.label.slice(0, 23)}\u2026` : row.label));
      if (row.half !== null) parts.push(svg("rect", { x: x(row.mean - row.half), y: line - 7, width: Math.max(x(row.mean + row.half) - x(row.mean - row.half), 1), height: 14, rx: 3, fill: row.color, "fill-opacity": 0.22 }));
      for (const [seed, value] of row.values) parts.push(svg("circle", { cx: x(value), cy: line, r: 4.5, fill: row.color, "fill-opacity": 0.8 }, svg("title", {}, `seed ${seed}: ${zero ? signed(value, 2) : number(value, 2)}`)));
      parts.push(svg("line", { x1: x(row.mean), x2: x(row.mean), y1: line - 9, y2: line + 9, stroke: row.color, "stroke-width": 3 }));
      parts.push(svg("text", { x: right + 10, y: line + 4, class: "strong" }, zero ? signed(row.mean) : number(row.mean)));
      y += every;
    }
    const step = niceStep((high - low) / (narrow ? 4 : 8)), ticks = [];
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
      const value = Math.round(at / step) * step;
      ticks.push(svg("line", { x1: x(value), x2: x(value), y1: 6, y2: y, class: zero && Math.abs(value) < step / 2 ? "zero" : "grid" }));
      ticks.push(svg("text", { x: x(value), y: y + 16, "text-anchor": "middle" }, zero && value > 0 ? `+${trim(value)}` : trim(value)));
    }
    return svg("svg", { class: "chart", viewBox: `0 0 ${Math.max(width, 1)} ${y + 22}`, height: y + 22, role: "img", "aria-label": rows.map((row) => `${row.group}, ${row.label}: ${number(row.mean)}`).join("; ") }, ticks, parts);
  }
  const trim = (value) => String(Number(value.toFixed(3))).replace("-", "\u2212");
  function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough || 1));
    return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) || power;
  }
  function recall() {
    const holder = card("All labeled images", h("p", {}, "Counting ..."));
    load(address("recall", state.set)).then((document_) => {
      const one = (document_.tables || []).find((row) => row.table === start.tables[state.table]);
      if (!one) return holder.replaceChildren(h("h2", {}, "All labeled images"), h("p", {}, document_.error || "The table has boxes for none of these images."));
      const width = 262, height = 130, x = (at) => 30 + (at * (width - 42)) / (document_.limits.length - 1), y = (value) => 8 + (1 - value / 100) * (height - 34);
      const path = (values) => values.map((value, at) => `${at ? "L" : "M"}${x(at)} ${y(value || 0)}`).join("");
      const parts = [0, 50, 100].flatMap((value) => [svg("line", { x1: 30, x2: width - 12, y1: y(value), y2: y(value), class: "grid" }), svg("text", { x: 24, y: y(value) + 4, "text-anchor": "end" }, String(value))]);
      document_.limits.forEach((limit, at) => parts.push(svg("text", { x: x(at), y: height - 8, "text-anchor": "middle" }, String(limit))));
      parts.push(svg("path", { d: path(one.grid), fill: "none", stroke: "currentColor", "stroke-opacity": 0.5, "stroke-width": 2, "stroke-dasharray": "4 4" }));
      parts.push(svg("path", { d: path(one.recall), fill: "none", stroke: GREEN, "stroke-width": 2.5 }));
      one.recall.forEach((value, at) => parts.push(svg("circle", { cx: x(at), cy: y(value || 0), r: 3.5, fill: GREEN }, svg("title", {}, `first ${document_.limits[at]}: ${number(value)} %, blind grid ${number(one.grid[at])} %`))));
      const last = one.recall.length - 1;
      holder.replaceChildren(h("h2", {}, `Objects covered in ${many(one.images, "image")}, %`),
        svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": document_.limits.map((limit, at) => `first ${limit}: ${number(one.recall[at])} %`).join(", ") }, parts),
        h("p", {}, `By the first N boxes. The first ${document_.limits[last]} cover ${number(one.recall[last])} %; as many boxes of a blind grid (dashed) ${number(one.grid[last])} %.`));
    });
    return holder;
  }

  // --- frame of the page ---------------------------------------------------------------------------------------
  const names = new Map();
  const name = () => names.get(`${state.set}/${state.image}`) || `image ${state.image + 1}`;
  const large = () => source(`/image/${state.set}/${state.image}/large.jpg`);
  const figure = (frame, text) => h("div", { class: "frames one" }, h("figure", {}, frame, text));
  function caption(text) {
    const [first, ...rest] = text.split(", ");
    return h("figcaption", {}, h("b", {}, first), rest.length ? `, ${rest.join(", ")}` : "");
  }
  function bar(title, count, step = move) {
    return h("div", { class: "bar" }, h("button", { type: "button", class: "previous", title: "Previous (k)", "aria-label": "Previous", on: { click: () => step(-1) } }, "\u2190"),
      h("button", { type: "button", class: "next", title: "Next (j)", "aria-label": "Next", on: { click: () => step(1) } }, "\u2192"),
      h("span", { class: "name" }, title || name()), h("span", { class: "count" }, count || `${state.image + 1} of ${set().count.toLocaleString("en")}`));
  }
  function show(stage, panel = []) {
    $("stage").replaceChildren(...stage.filter(Boolean));
    $("panel").replaceChildren(...panel.filter(Boolean));
    $("live").textContent = state.tab === "runs" ? "" : `${name()}, ${state.image + 1} of ${set() ? set().count : 0}`;
  }
  function move(by) {
    if (!set() || !set().count) return;
    if (state.tab === "errors" && redraw) return redraw(by);
    goTo(Math.max(0, Math.min(set().count - 1, state.image + by)));
  }
  function goTo(image) {
    state.image = image;
    state.page = Math.floor(image / start.per_page);
    draw();
  }
  async function thumbs() {
    const holder = $("images");
    if (!set() || state.tab === "errors" || state.tab === "runs") return holder.replaceChildren();
    const document_ = await load(address("images", state.set, state.page));
    if (document_.error) return;
    for (const one of document_.images) names.set(`${state.set}/${one.i}`, one.name);
    const pages = Math.ceil(set().count / start.per_page), go = (by) => { state.page = Math.max(0, Math.min(pages - 1, state.page + by)); thumbs(); };
    const choose = start.sets.length > 1 && select("Images", start.sets.map((one) => `${one.name} (${one.count})`), state.set, (at) => { state.set = at; state.page = 0; goTo(0); }, "set");
    const grid = h("div", { class: "thumbs" }, document_.images.map(thumb));
    const find = !embedded && set().count > start.per_page && h("input", { type: "search", placeholder: "Find by name", "aria-label": "Find images by name", id: "find", on: { input: (event) => search(event.target.value, grid) } });
    const old = document.activeElement && document.activeElement.id === "find";
    if (old && $("find").value) return;
    holder.replaceChildren(...[choose, find, grid, pages > 1 && h("div", { class: "pager" },
      h("button", { type: "button", disabled: state.page === 0, "aria-label": "Previous page", title: "Previous page ([)", on: { click: () => go(-1) } }, "\u2039"),
      h("span", {}, `${state.page + 1} of ${pages}`),
      h("button", { type: "button", disabled: state.page === pages - 1, "aria-label": "Next page", title: "Next page (])", on: { click: () => go(1) } }, "\u203a"))].filter(Boolean));
    const title = $("stage").querySelector(".bar .name");
    if (title && state.tab !== "errors") title.textContent = name();
  }
  function thumb(one) {
    names.set(`${state.set}/${one.i}`, one.name);
    return h("button", { type: "button", class: "thumb", title: one.name, "aria-label": one.name, "aria-current": String(one.i === state.image), on: { click: () => goTo(one.i) } },
      h("img", { src: source(`/image/${state.set}/${one.i}/thumb.jpg`), alt: "", loading: "lazy", decoding: "async" }), one.objects === null ? null : h("span", { title: many(one.objects, "object") }, one.objects));
  }
  let typing = 0;
  async function search(text, grid) {
    const my = ++typing;
    if (!text) { thumbs(); return; }
    const found = await load(`/api/find/${state.set}/${encodeURIComponent(text.slice(0, 100))}.json`);
    if (my === typing && !found.error) grid.replaceChildren(...(found.images.length ? found.images.map(thumb) : [h("p", { class: "wait" }, "none")]));
  }

  function draw() {
    const my = ++ticket, [id, title, about] = TABS.find((one) => one[0] === state.tab);
    redraw = null;
    for (const one of $("tabs").children) {
      one.setAttribute("aria-selected", String(one.dataset.tab === id));
      one.tabIndex = one.dataset.tab === id ? 0 : -1;
    }
    $("main").setAttribute("aria-labelledby", `tab-${id}`);
    $("about").textContent = about;
    $("layout").className = id === "runs" || start.empty[id] ? "wide" : id;
    const place = id === "runs" ? "#runs" : `#${id}/${state.set}/${state.image}`;
    if (location.hash !== place) history.replaceState(null, "", place);
    document.title = `${title} \u00b7 adept studio`;
    if (start.empty[id]) {
      show([blank(`${title}: nothing to show yet`, start.empty[id].why, start.empty[id].type)]);
      return;
    }
    thumbs();
    drawTab[id](my);
  }
  function open(id) {
    state.tab = id;
    draw();
  }
  function readPlace() {
    const [id, one, image] = location.hash.slice(1).split("/");
    if (!TABS.some((tab) => tab[0] === id)) return false;
    state.tab = id;
    state.set = Math.min(Math.max(parseInt(one, 10) || 0, 0), Math.max(start.sets.length - 1, 0));
    state.image = set() ? Math.min(Math.max(parseInt(image, 10) || 0, 0), set().count - 1) : 0;
    state.page = Math.floor(state.image / start.per_page);
    return true;
  }

  // --- theme and keys ------------------------------------------------------------------------------------------
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function paintTheme() { $("theme").textContent = dark() ? "Light" : "Dark"; }
  function switchTheme() {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("adept-theme", document.documentElement.dataset.theme); } catch { /* a file without storage */ }
    paintTheme();
  }
  function keys(event) {
    const where = event.target.closest("input, select, textarea, dialog");
    if (event.ctrlKey || event.metaKey || event.altKey || (where && event.key !== "Escape")) return;
    if (event.target.closest("[role=tablist]") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const at = TABS.findIndex((one) => one[0] === state.tab), by = event.key === "ArrowRight" ? 1 : -1;
      open(TABS[(at + by + TABS.length) % TABS.length][0]);
      $(`tab-${state.tab}`).focus();
      event.preventDefault();
      return;
    }
    const pages = set() ? Math.ceil(set().count / start.per_page) : 0;
    const turn = (by) => { state.page = Math.max(0, Math.min(pages - 1, state.page + by)); thumbs(); };
    const acts = { j: () => move(1), ArrowRight: () => move(1), k: () => move(-1), ArrowLeft: () => move(-1), t: switchTheme, "?": () => $("keys").showModal(),
      "[": () => turn(-1), "]": () => turn(1), g: () => $("truth") && $("truth").click() };
    TABS.forEach((one, at) => { acts[String(at + 1)] = () => open(one[0]); });
    if (acts[event.key]) { acts[event.key](); event.preventDefault(); }
  }

  async function begin() {
    try {
      const kept = localStorage.getItem("adept-theme");
      if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
    } catch { /* a file without storage */ }
    paintTheme();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintTheme);
    $("theme").addEventListener("click", switchTheme);
    $("help").addEventListener("click", () => $("keys").showModal());
    document.addEventListener("keydown", keys);
    start = await load("/api/start.json");
    if (start.error) return $("stage").replaceChildren(failed(start));
    $("sources").replaceChildren(...start.sources.map((one) => h("li", { title: one.word }, one.name, h("span", {}, ` \u00b7 ${one.about}`))));
    const notes = [...start.notes, ...(start.limit ? [`This page has ${start.limit}`] : [])];
    $("notes").replaceChildren(...notes.map((text) => h("p", { class: "note" }, text)));
    $("tabs").replaceChildren(...TABS.map(([id, title], at) => h("button", { type: "button", role: "tab", id: `tab-${id}`, "data-tab": id, "aria-controls": "main",
      class: start.empty[id] ? "empty" : "", on: { click: () => open(id) } }, title, h("kbd", {}, at + 1))));
    addEventListener("hashchange", () => readPlace() && draw());
    state.right = Math.min(1, start.maps.length - 1);
    if (!readPlace()) state.tab = (TABS.find(([id]) => !start.empty[id]) || TABS[0])[0];
    draw();
  }
  begin();
})();
