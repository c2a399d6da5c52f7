/** The part of the browser's LockManager that is used. */
export interface Locks {
  request(name: string, options: LockOptions, hold: () => Promise<void>): Promise<unknown>;
}

export interface ElectionOptions {
  readonly locks: Locks;
  /** Of the lock. All that use the same name have one leader. */
  readonly name: string;
  readonly onElected: () => void;
  /** Another one has seized the lead. */
  readonly onDeposed: () => void;
  /** Locks cannot be used here: nobody will be elected. */
  readonly onFailed: () => void;
}

/**
 * Elects a leader among tabs: whoever holds a lock. The browser gives it to the next one as soon as the
 * holder's tab is closed, or has crashed.
 */
export class Election {
  readonly #options: ElectionOptions;
  #turn: AbortController | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  /** Leads as soon as nobody else does. */
  stand(): void {
    this.#request(false);
  }

  /** Leads at once, instead of whoever does. */
  seize(): void {
    this.#request(true);
  }

  /** Neither leads nor wants to; nothing is called back any more. */
  withdraw(): void {
    this.#turn?.abort();
    this.#turn = undefined;
  }

  #request(steal: boolean): void {
    this.withdraw();
    const { locks, name, onElected, onDeposed, onFailed } = this.#options;
    const turn = new AbortController();
    const { signal } = turn;
    this.#turn = turn;
    let isElected = false;
    const hold = () =>
      new Promise<void>((release) => {
        signal.addEventListener("abort", () => {
          release();
        });
        if (signal.aborted) {
          release();
          return;
        }
        isElected = true;
        onElected();
      });
    // A lock can be stolen, or waited for with a signal, but not both.
    locks.request(name, steal ? { steal } : { signal }, hold).catch(() => {
      if (signal.aborted) return;
      if (isElected) onDeposed();
      else onFailed();
    });
  }
}
