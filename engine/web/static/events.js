// Server-sent events, while the page can be seen: a browser has few connections to one host, and hidden pages need none.

export const listen = (address, takes, state = () => {}) => {
  let source = null;
  let over = false;
  const open = () => {
    if (over) return;
    source = new EventSource(address);
    source.addEventListener("open", () => state(true));
    source.addEventListener("error", () => state(false)); // it comes again by itself
    for (const [name, take] of Object.entries(takes))
      source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  };
  const close = () => {
    source?.close();
    source = null;
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : source || open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && !source && open());
  if (!document.hidden) open();
  return () => {
    over = true;
    close();
  };
};
