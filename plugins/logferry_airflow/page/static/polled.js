// Data that stays fresh: asked at once, then again every so often while the page is looked at.
import { useCallback, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { get, remembered } from "./api.js";

/**
 * {data, error, loading, reload} of a path of the page's API; a path of null asks nothing. While an answer is under
 * way or has failed, the last one stays in `data`. `every` is in milliseconds, 0 for once.
 */
export function usePolled(path, every = 0) {
  const [state, setState] = useState({ path, data: path ? remembered(path) : undefined, error: null, loading: true });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  useEffect(() => {
    if (!path) return undefined;
    const stop = new AbortController();
    let busy = false;
    const ask = async () => {
      if (busy) return;
      busy = true;
      try {
        const data = await get(path, stop.signal);
        if (!stop.signal.aborted) setState((was) => (same(was, path, data) ? was : { path, data, error: null, loading: false }));
      } catch (error) {
        if (!stop.signal.aborted) setState((was) => ({ path, data: was.path === path ? was.data : undefined, error, loading: false }));
      } finally {
        busy = false;
      }
    };
    setState((was) => (was.path === path ? { ...was, loading: true } : { path, data: remembered(path), error: null, loading: true }));
    ask();
    const again = () => document.visibilityState === "visible" && ask();
    const timer = every ? setInterval(again, every) : 0;
    if (every) document.addEventListener("visibilitychange", again);
    return () => {
      stop.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [path, every, turn]);
  const current = state.path === path ? state : { path, data: undefined, error: null, loading: true };
  return { ...current, reload };
}

const same = (was, path, data) => was.path === path && was.data === data && !was.error && !was.loading;

/** Calls `task` every `ms` while `on`, never twice at the same time; stops when `on` turns false or the view goes. */
export function useRepeat(task, ms, on) {
  const latest = useRef(task);
  latest.current = task;
  useEffect(() => {
    if (!on) return undefined;
    let timer = 0;
    let over = false;
    const turn = async () => {
      await latest.current();
      if (!over) timer = setTimeout(turn, ms);
    };
    timer = setTimeout(turn, ms);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [ms, on]);
}

/** Says a sentence to screen readers. */
export function say(sentence) {
  const region = document.getElementById("said");
  if (!region) return;
  region.textContent = "";
  setTimeout(() => (region.textContent = sentence), 50);
}
