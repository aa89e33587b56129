// The conversation from the start-up message to the first ReadyForQuery: proves the password in the way the server asks
// for, and collects the session's parameters. Manual: "Start-up" (protocol-flow, 55.2.1).

import { AppError, type Secret } from '@varve/base';
import type { AuthenticationRequest } from '../wire/backend-messages.ts';
import { encodePassword, encodeSaslInitial, encodeSaslResponse } from '../wire/frontend-messages.ts';
import { md5Answer, ScramClient } from '../wire/passwords.ts';
import type { MessageStream } from './message-stream.ts';
import { startupError, type ServerName } from './server-errors.ts';

/** How the session was authenticated. */
export type AuthenticationMethod = 'trust' | 'cleartext' | 'md5' | 'scram-sha-256' | 'scram-sha-256-plus';

export interface AuthenticationOptions {
  readonly server: ServerName;
  readonly messages: MessageStream;
  readonly send: (bytes: Uint8Array) => void;
  readonly password?: Secret | undefined;
  /** Whether a clear password may go over this connection: TLS, a Unix socket or loopback. */
  readonly isPrivate: boolean;
  readonly certificateHash?: Uint8Array | undefined;
  readonly replication: boolean;
}

export interface StartedSession {
  readonly method: AuthenticationMethod;
  readonly parameters: Map<string, string>;
  readonly cancelKey: { readonly processId: number; readonly secretKey: Uint8Array } | undefined;
}

/** Runs the conversation. Throws DATABASE_AUTH_FAILED, DATABASE_DENIED, DATABASE_UNREACHABLE or DATABASE_PROTOCOL. */
export async function startSession(options: AuthenticationOptions): Promise<StartedSession> {
  const login = new Login(options);
  const parameters = new Map<string, string>();
  let cancelKey: StartedSession['cancelKey'];
  for (;;) {
    const message = await options.messages.next();
    switch (message.type) {
      case 'authentication':
        await login.answer(message.request);
        break;
      case 'parameter-status':
        parameters.set(message.name, message.value);
        break;
      case 'backend-key-data':
        cancelKey = { processId: message.processId, secretKey: message.secretKey.slice() };
        break;
      case 'error':
        throw startupError(message.report, options.server, { replication: options.replication });
      case 'ready-for-query':
        return { method: login.finish(), parameters, cancelKey };
      case 'notice':
      case 'negotiate-protocol-version':
        break;
      default:
        throw new AppError('DATABASE_PROTOCOL', `The server sent “${message.type}” while the session was starting.`);
    }
  }
}

class Login {
  readonly #options: AuthenticationOptions;
  #method: AuthenticationMethod = 'trust';
  #scram: ScramClient | undefined;
  #scramVerified = false;
  #isAccepted = false;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
  }

  async answer(request: AuthenticationRequest): Promise<void> {
    const { send, server } = this.#options;
    switch (request.method) {
      case 'ok':
        if (this.#scram && !this.#scramVerified) {
          throw new AppError('DATABASE_PROTOCOL', 'The server skipped the proof that it knows the password.');
        }
        this.#isAccepted = true;
        return;
      case 'cleartext':
        this.#method = 'cleartext';
        send(encodePassword(this.#clearPassword().reveal()));
        return;
      case 'md5':
        this.#method = 'md5';
        send(encodePassword(md5Answer({ user: server.user, password: this.#password(), salt: request.salt })));
        return;
      case 'sasl': {
        const { certificateHash } = this.#options;
        this.#scram = new ScramClient({ password: this.#password(), mechanisms: request.mechanisms, certificateHash });
        this.#method = this.#scram.mechanism === 'SCRAM-SHA-256-PLUS' ? 'scram-sha-256-plus' : 'scram-sha-256';
        send(encodeSaslInitial({ mechanism: this.#scram.mechanism, response: this.#scram.first() }));
        return;
      }
      case 'sasl-continue':
        send(encodeSaslResponse(await this.#running().answer(request.data)));
        return;
      case 'sasl-final':
        this.#running().verify(request.data);
        this.#scramVerified = true;
        return;
      case 'unsupported':
        throw this.#failed(`it asks for a way to log in that is not supported (code ${request.requestCode})`, {
          hint: 'Use scram-sha-256, md5 or trust in pg_hba.conf for this user; GSSAPI, SSPI, LDAP tickets and the like are not supported.',
        });
    }
  }

  finish(): AuthenticationMethod {
    if (!this.#isAccepted)
      throw new AppError('DATABASE_PROTOCOL', 'The server was ready before it had accepted the login.');
    return this.#method;
  }

  #running(): ScramClient {
    if (!this.#scram)
      throw new AppError('DATABASE_PROTOCOL', 'The server continued a SCRAM exchange that never started.');
    return this.#scram;
  }

  #password(): Secret {
    const { password } = this.#options;
    if (password) return password;
    throw this.#failed('it asks for a password and none was given', {
      hint: 'Give the password in the settings of the database, in the URL or in a password file (.pgpass).',
    });
  }

  #clearPassword(): Secret {
    if (this.#options.isPrivate) return this.#password();
    throw this.#failed('it asks for the password in clear text over a connection that is not encrypted', {
      hint: 'Turn on TLS, or use scram-sha-256 for this user in pg_hba.conf. The password was not sent.',
    });
  }

  #failed(reason: string, options: { readonly hint: string }): AppError {
    const { address, user, database } = this.#options.server;
    return new AppError(
      'DATABASE_AUTH_FAILED',
      `Cannot log in to PostgreSQL at ${address} as user “${user}” for database “${database}”: ${reason}.`,
      { hint: options.hint, context: { address, user, database } },
    );
  }
}
