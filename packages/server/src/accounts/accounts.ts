// Accounts and sessions by better-auth over node:sqlite. Its own HTTP routes are not mounted: the routes of this room
// call it, so that sign-up is closed once there is an owner and every answer has the API's shape.

import type { DatabaseSync } from 'node:sqlite';
import type { Varve } from '@varve/app';
import { AppError, Limiter, type Clock, type Logger } from '@varve/base';
import type { NewOwner, SignIn } from '@varve/contract';
import { betterAuth, type BetterAuthOptions } from 'better-auth';
import { isAPIError } from 'better-auth/api';
import { getMigrations } from 'better-auth/db/migration';
import { AttemptLimiter } from './attempt-limiter.ts';
import { ensureSetupToken, isSetupToken, removeSetupToken } from './setup-token.ts';

export interface AccountUser {
  readonly id: string;
  readonly email: string;
  readonly name: string;
}

/** A user and the Set-Cookie lines that make the browser remember it. */
export interface SignedIn {
  readonly user: AccountUser;
  readonly cookies: readonly string[];
}

export interface AccountsOptions {
  readonly varve: Varve;
  /** Where browsers reach the server. With https the session cookie is Secure. */
  readonly baseUrl: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Failures that one client address may make before it has to wait. */
const limitsPerAddress = { maxFailures: 10, windowMs: 15 * 60_000 };
/** Failures on one account from all addresses together. */
const limitsPerAccount = { maxFailures: 50, windowMs: 15 * 60_000 };
const sessionSeconds = 7 * 24 * 3600;

type Auth = ReturnType<typeof createAuth>;

/** Opens the accounts of an installation, making what is missing. */
export async function openAccounts(options: AccountsOptions): Promise<Accounts> {
  const database = options.varve.openAccountsDatabase();
  try {
    const secret = (await options.varve.serverSecret('session')).reveal();
    const authOptions = authOptionsFor({ ...options, database, secret });
    const { runMigrations } = await getMigrations(authOptions);
    await runMigrations();
    return new Accounts({ ...options, database, auth: createAuth(authOptions) });
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The accounts of one installation. Wrong passwords end with AUTH_INVALID, too many of them with AUTH_RATE_LIMITED. */
export class Accounts implements Disposable {
  readonly #dataDirectory: string;
  readonly #database: DatabaseSync;
  readonly #auth: Auth;
  readonly #perAddress: AttemptLimiter;
  readonly #perAccount: AttemptLimiter;
  readonly #setup = new Limiter(1);

  constructor(options: AccountsOptions & { database: DatabaseSync; auth: Auth }) {
    this.#dataDirectory = options.varve.dataDirectory;
    this.#database = options.database;
    this.#auth = options.auth;
    this.#perAddress = new AttemptLimiter({ limits: limitsPerAddress, clock: options.clock });
    this.#perAccount = new AttemptLimiter({ limits: limitsPerAccount, clock: options.clock });
  }

  /** Whether nobody owns this installation yet. */
  isSetupNeeded(): boolean {
    return this.#database.prepare('SELECT 1 FROM "user" LIMIT 1').get() === undefined;
  }

  /** The token that claims the installation, while it has no owner. */
  async setupToken(): Promise<string | undefined> {
    return this.isSetupNeeded() ? ensureSetupToken(this.#dataDirectory) : undefined;
  }

  /** Makes the first and only owner. AUTH_SETUP_DONE when there is one, AUTH_FORBIDDEN for a wrong token. */
  createOwner(owner: NewOwner, client: { readonly address: string }): Promise<SignedIn> {
    return this.#setup.run(async () => {
      const expected = await this.setupToken();
      if (expected === undefined) {
        throw new AppError('AUTH_SETUP_DONE', 'This installation already has an owner.', { hint: 'Sign in instead.' });
      }
      await this.#attempt([client.address], async () => {
        if (isSetupToken({ given: owner.setupToken, expected })) return;
        throw new AppError('AUTH_FORBIDDEN', 'The setup token is wrong.', {
          hint: 'Copy it from the terminal of the server, or from the file setup-token in its data directory.',
        });
      });
      const { headers, response } = await this.#auth.api.signUpEmail({
        body: { name: owner.name, email: owner.email, password: owner.password },
        returnHeaders: true,
      });
      await removeSetupToken(this.#dataDirectory);
      return { user: accountUser(response.user), cookies: headers.getSetCookie() };
    });
  }

  /** Opens a session. The answer does not tell whether the e-mail address or the password was wrong. */
  signIn(credentials: SignIn, client: { readonly address: string }): Promise<SignedIn> {
    return this.#attempt([client.address, `account:${credentials.email.toLowerCase()}`], async () => {
      try {
        const { headers, response } = await this.#auth.api.signInEmail({ body: credentials, returnHeaders: true });
        return { user: accountUser(response.user), cookies: headers.getSetCookie() };
      } catch (error) {
        if (!isAPIError(error) || error.statusCode >= 500) throw error;
        throw new AppError('AUTH_INVALID', 'The e-mail address or the password is wrong.', {
          hint: 'Check both and try again.',
        });
      }
    });
  }

  /** Ends the session of a request; yields the cookies that make the browser forget it. */
  async signOut(headers: Headers): Promise<readonly string[]> {
    const result = await this.#auth.api.signOut({ headers, returnHeaders: true });
    return result.headers.getSetCookie();
  }

  /** Who sends this request: null without a valid session. Cookies are to be sent on, they renew the session. */
  async userOf(headers: Headers): Promise<{ user: AccountUser | null; cookies: readonly string[] }> {
    if (!headers.has('cookie')) return { user: null, cookies: [] };
    const result = await this.#auth.api.getSession({ headers, returnHeaders: true });
    const user = result.response === null ? null : accountUser(result.response.user);
    return { user, cookies: result.headers.getSetCookie() };
  }

  /** Asks for the password again before something sensitive is shown. AUTH_FORBIDDEN when it is wrong. */
  verifyPassword(options: { headers: Headers; password: string; user: AccountUser; address: string }): Promise<void> {
    const keys = [options.address, `account:${options.user.email.toLowerCase()}`];
    return this.#attempt(keys, async () => {
      try {
        await this.#auth.api.verifyPassword({ headers: options.headers, body: { password: options.password } });
      } catch (error) {
        if (!isAPIError(error) || error.statusCode >= 500) throw error;
        throw new AppError('AUTH_FORBIDDEN', 'The password is wrong.', { hint: 'Give the password of your account.' });
      }
    });
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }

  /** Runs a check of credentials. It counts as failed from its start, so that parallel guesses are counted too. */
  async #attempt<T>(keys: readonly string[], task: () => Promise<T>): Promise<T> {
    for (const key of keys) this.#limiterOf(key).assertAllowed(key);
    for (const key of keys) this.#limiterOf(key).recordFailure(key);
    const result = await task();
    for (const key of keys) this.#limiterOf(key).recordSuccess(key);
    return result;
  }

  #limiterOf(key: string): AttemptLimiter {
    return key.startsWith('account:') ? this.#perAccount : this.#perAddress;
  }
}

function createAuth(options: ReturnType<typeof authOptionsFor>) {
  return betterAuth(options);
}

function authOptionsFor(options: AccountsOptions & { database: DatabaseSync; secret: string }) {
  return {
    appName: 'Varve',
    database: options.database,
    secret: options.secret,
    baseURL: options.baseUrl,
    telemetry: { enabled: false },
    /** Attempts are counted by {@link AttemptLimiter}; better-auth counts only what comes through its own routes. */
    rateLimit: { enabled: false },
    emailAndPassword: { enabled: true, minPasswordLength: 10, maxPasswordLength: 200, autoSignIn: true },
    session: { expiresIn: sessionSeconds, updateAge: 24 * 3600 },
    advanced: {
      cookiePrefix: 'varve',
      useSecureCookies: options.baseUrl.startsWith('https:'),
      defaultCookieAttributes: { httpOnly: true, sameSite: 'lax', path: '/' },
    },
    logger: {
      level: 'warn',
      log: (level: string, message: string) => {
        options.logger.debug(`better-auth: ${message}`, { level });
      },
    },
  } as const satisfies BetterAuthOptions;
}

function accountUser(user: { id: string; email: string; name: string }): AccountUser {
  return { id: user.id, email: user.email, name: user.name };
}
