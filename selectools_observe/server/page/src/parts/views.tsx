/** Views of the list that this browser keeps: a filter, an order and columns under a name. */

import { useState } from "preact/hooks";
import { value } from "../format";
import { go, write, type Route } from "../route";
import { Drop } from "./drop";
import { keep, recall } from "./remembered";

interface View {
  name: string;
  q: string;
  sort: string;
  cols: string;
}

export function Views({ route }: { route: Route }) {
  return <Drop label="Views">{(close) => <Kept route={route} close={close} />}</Drop>;
}

function Kept({ route, close }: { route: Route; close: () => void }) {
  const [views, setViews] = useState<View[]>(() => recall<View[]>("views", []));
  const [name, setName] = useState("");
  const change = (wanted: View[]) => {
    setViews(wanted);
    keep("views", wanted);
  };
  const { q, sort, cols } = route;
  const save = (event: Event) => {
    event.preventDefault();
    const wanted = name.trim() || q || "All runs";
    change([...views.filter((one) => one.name !== wanted), { name: wanted, q, sort, cols }]);
    setName("");
  };
  return (
    <>
      {views.length > 0 && (
        <ul class="views">
          {views.map((view) => (
            <li key={view.name}>
              <a
                href={write({ view: "runs", q: view.q, sort: view.sort, cols: view.cols })}
                onClick={(event) => {
                  event.preventDefault();
                  go({ view: "runs", q: view.q, sort: view.sort, cols: view.cols });
                  close();
                }}
              >
                <b>{value(view.name)}</b> <code>{value(view.q, 120)}</code>
              </a>
              <button type="button" class="quiet" aria-label={`Forget ${value(view.name)}`} onClick={() => change(views.filter((one) => one !== view))}>
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      <form onSubmit={save}>
        <input aria-label="Name of the view" placeholder={q || "All runs"} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        <button type="submit">Save this view</button>
      </form>
      <p class="note">Filter, order and columns, kept in this browser. The address holds them too: copy it to share.</p>
    </>
  );
}
