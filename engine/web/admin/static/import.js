// How far an import is, asked once a second; when it has ended, the page says what came of it.

const bar = document.getElementById("progress");
const identity = bar?.dataset.running;

const look = async () => {
  const response = await fetch(`/admin/import/progress?id=${encodeURIComponent(identity)}`, {
    headers: { accept: "application/json", "x-live": "1" },
  });
  if (!response.ok) return;
  const told = await response.json();
  if (told.state !== "running") return location.reload();
  bar.value = told.done;
  document.getElementById("told").textContent = new Intl.NumberFormat(document.documentElement.lang).format(told.done);
  setTimeout(look, 1000);
};

if (identity) setTimeout(look, 500);
