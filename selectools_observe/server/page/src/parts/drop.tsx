/** A button with something under it that Escape and a click elsewhere close. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  label: string;
  /** Flush with the left side of its button instead of the right. */
  left?: boolean;
  /** Made when it is opened. */
  children: (close: () => void) => ComponentChildren;
}

export function Drop({ label, left, children }: Props) {
  const menu = useRef<HTMLDetailsElement>(null);
  const [open, setOpen] = useState(false);
  const close = () => {
    if (menu.current) menu.current.open = false;
  };
  useEffect(() => {
    if (!open) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
      menu.current?.querySelector("summary")?.focus();
    };
    const onClick = (event: MouseEvent) => {
      if (!event.composedPath().includes(menu.current!)) close();
    };
    addEventListener("keydown", onKey, true);
    addEventListener("click", onClick);
    return () => {
      removeEventListener("keydown", onKey, true);
      removeEventListener("click", onClick);
    };
  }, [open]);
  return (
    <details class="drop" ref={menu} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class="button quiet">{label}</summary>
      <div class={left ? "dropped left" : "dropped"}>{open && children(close)}</div>
    </details>
  );
}
