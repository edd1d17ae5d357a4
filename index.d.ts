/**
 * k6/x/ogcache carries out the events of ogcache's traffic model, over HTTP or
 * in process, and measures each in Go.
 */

/** What new Client() takes. What is left out comes from the environment. */
export interface Settings {
  /** Send HTTP requests to this URL. Environment: TARGET. */
  target?: string;
  /** Run the application in process on this Redis; with database. Environment: REDIS. */
  redis?: string;
  /** The PostgreSQL that goes with redis. Environment: DATABASE. */
  database?: string;
  /** Run the application in process on an embedded Redis and origin, for a first look. */
  lab?: boolean;
  /** The file of bearer tokens that `dashboard demo` or `dashboard seed` wrote. Environment: TOKENS. */
  tokens?: string;
  /** Make every event of run() this operation; otherwise the mix. */
  operation?: Operation;
  /** Through the cache (default), around it, or one of the two by coin. Environment: MODE. */
  mode?: "cached" | "baseline" | "both";
  /** How many users there are; as many as there are tokens by default. Environment: USERS. */
  users?: number;
  /** Exponent of the users' Zipf popularity, 0 to 5; 1.21 by default. Environment: ALPHA. */
  alpha?: number;
  /** Share of events that read, 0 to 1; 0.86 by default. Environment: READ_SHARE. */
  readShare?: number;
  /** Share of look-ups by id that ask for what does not exist; 0.01 by default. Environment: ABSENT_SHARE. */
  absentShare?: number;
  /** The same seed makes the same events; 1 by default. Environment: SEED. */
  seed?: number;
}

export type Operation =
  | "auth"
  | "profile"
  | "conversation"
  | "menu"
  | "api"
  | "conversations"
  | "telegram"
  | "context"
  | "add_message"
  | "update_profile";

/** How one operation ended. */
export interface Outcome {
  /** The HTTP status, or in process what it would have been. */
  status: number;
  /** Milliseconds from sending to the end of the answer, measured in Go. */
  duration: number;
  /** Every cache lookup that the operation made, in order. */
  lookups: Lookup[];
}

export interface Lookup {
  family: string;
  result: "hit" | "near_hit" | "stale" | "miss" | "bypass" | "error";
}

/**
 * A target. Make it in the init context; it is opened by the first operation
 * and shared by all virtual users that have the same settings.
 *
 * An operation that fails resolves, with its status, and counts in
 * ogcache_errors. A promise is rejected only when the target cannot be used.
 */
export class Client {
  constructor(settings?: Settings);
  /** Carry out event i of the model; pass exec.scenario.iterationInTest. */
  run(i: number): Promise<Outcome>;
  /** Look a user's session up. */
  auth(user: number): Promise<Outcome>;
  /** Read a user's profile. */
  profile(user: number): Promise<Outcome>;
  /** Look a user's profile up by their Telegram id. */
  telegram(user: number): Promise<Outcome>;
  /** Read a user's nth conversation. */
  conversation(user: number, n: number): Promise<Outcome>;
  /** List a user's conversations. */
  conversations(user: number): Promise<Outcome>;
  /** Read the menu. */
  menu(): Promise<Outcome>;
  /** What one start of the agent's chat needs: session, profile and conversations. */
  api(user: number): Promise<Outcome>;
  /** Read what the agent is told about a user. */
  context(user: number): Promise<Outcome>;
  /** Add a message to a user's nth conversation. */
  addMessage(user: number, n: number): Promise<Outcome>;
  /** Change a user's profile. */
  updateProfile(user: number): Promise<Outcome>;
}
