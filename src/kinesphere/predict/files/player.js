"use strict";

const times = (element) => [Number(element.dataset.start), Number(element.dataset.end)];
const clock = (s) => {
  const tenths = Math.round(10 * Math.max(0, s)), hours = Math.floor(tenths / 36000);
  const minutes = Math.floor(tenths / 600) % 60, seconds = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
};

// A video with its timeline, within the element `root`.
function playerOf(root) {
  const video = root.querySelector("video"), lanes = root.querySelector(".lanes");
  const head = lanes.querySelector(".head"), scroll = lanes.parentElement;
  const [start, end] = times(lanes);
  const segments = [...lanes.querySelectorAll(".segment")];
  const own = [...lanes.querySelectorAll(".own .segment")];
  const rows = [...root.querySelectorAll("tbody tr")];
  let time = start, until = null, asked = null;

  // The head, the words below the video, and what is marked as playing.
  function show(follow) {
    const place = (time - start) / (end - start);
    head.style.left = `${100 * Math.min(1, Math.max(0, place))}%`;
    root.querySelector(".clock").textContent = clock(time);
    const said = [];
    for (const element of [...segments, ...rows]) {
      const [from, to] = times(element);
      const inside = from <= time && time < to;
      element.classList.toggle("now-playing", inside);
      if (inside && element.classList.contains("segment")) {
        const row = element.closest(".row"), used = element === asked;
        const words = used || row.classList.contains("own") ? element.title : element.textContent;
        said[used ? "push" : "unshift"](`${row.querySelector(".name").textContent}: ${words}`);
      }
    }
    // What was asked for last comes first, then the page's own row.
    const first = asked?.classList.contains("now-playing") ? [said.pop()] : [];
    root.querySelector(".said").textContent = [...first, ...said].join(" · ");
    if (follow) {
      const x = place * lanes.offsetWidth;
      if (x < scroll.scrollLeft || x > scroll.scrollLeft + scroll.clientWidth) scroll.scrollLeft = x - scroll.clientWidth / 4;
    }
  }

  const nameOf = (segment) => segment.closest(".row").querySelector(".name").textContent;
  const isOf = (segment, row) =>
    times(segment).every((time, i) => time === times(row)[i]) && row.dataset.row === nameOf(segment);

  function seek(to) {
    until = null;
    time = Math.min(end, Math.max(start, to));
    if (video) video.currentTime = time;
    show(true);
  }

  function play(element) {
    const [from, to] = times(element);
    asked = segments.find((each) => each === element || isOf(each, element)) ?? null;
    seek(from);
    if (root.querySelector(".stop").checked) until = to;
    video?.play().catch(() => {});
  }

  if (video) {
    video.addEventListener("error", () => { video.hidden = true; root.querySelector(".missing").hidden = false; });
    video.addEventListener("seeked", () => { time = video.currentTime; show(true); });
    const tick = () => {
      if (video.paused) return;
      time = video.currentTime;
      if (until !== null && time >= until) { video.pause(); until = null; }
      show(true);
      requestAnimationFrame(tick);
    };
    video.addEventListener("play", () => {
      for (const other of players) if (other.video !== video) other.video?.pause();
      requestAnimationFrame(tick);
    });
  }

  lanes.addEventListener("click", (event) => {
    const segment = event.target.closest(".segment");
    if (segment) { focusOn(segment); play(segment); return; }
    const box = lanes.getBoundingClientRect();
    seek(start + ((event.clientX - box.left) / box.width) * (end - start));
  });
  root.querySelector("tbody")?.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) play(row);
  });

  // One stop of the tabulator for each row; arrows go from segment to segment.
  function focusOn(segment) {
    for (const other of segment.parentElement.children) other.tabIndex = -1;
    segment.tabIndex = 0;
    segment.focus();
  }

  function step(by) {
    const starts = own.map((each) => times(each)[0]);
    const at = by > 0 ? starts.findIndex((each) => each > time + 0.05) : starts.findLastIndex((each) => each < time - 0.5);
    if (at >= 0) play(own[at]);
  }

  function press(event) {
    const segment = event.target.closest(".segment"), typing = event.target.closest("button, input, video");
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (segment && way) {
      const next = way < 0 ? segment.previousElementSibling : segment.nextElementSibling;
      if (next) focusOn(next);
    } else if (way && !typing) seek(time + way);
    else if (event.key === " " && !typing && video) video.paused ? video.play().catch(() => {}) : video.pause();
    else if (event.key === "n" || event.key === "N") step(1);
    else if (event.key === "p" || event.key === "P") step(-1);
    else return;
    event.preventDefault();
  }

  // Zoom: lanes wider than the page are scrolled; the head stays where it is.
  let zoom = 1;
  function widen(factor) {
    const box = lanes.getBoundingClientRect(), x = ((time - start) / (end - start)) * box.width - scroll.scrollLeft;
    zoom = Math.min(200, Math.max(1, zoom * factor));
    lanes.style.width = `${100 * zoom}%`;
    scroll.scrollLeft = ((time - start) / (end - start)) * lanes.offsetWidth - x;
  }
  root.querySelector(".in").addEventListener("click", () => widen(2));
  root.querySelector(".out").addEventListener("click", () => widen(0.5));

  show(false);
  return { root, video, press };
}

const players = [...document.querySelectorAll(".player")].map(playerOf);
// Keys are of the player that was used last; of a page with one, always of that.
let used = players.length === 1 ? players[0] : null;
document.addEventListener("pointerdown", (event) => {
  used = players.find((each) => each.root.contains(event.target)) ?? used;
});
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  used = players.find((each) => each.root.contains(event.target)) ?? used;
  used?.press(event);
});
