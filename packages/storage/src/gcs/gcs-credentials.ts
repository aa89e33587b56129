// Who we are to Google: a token, the file of a service account, or what Google's own library finds (other kinds of files, the
// metadata server, gcloud).

import { readFile } from 'node:fs/promises';
import { AppError, messageOf, redact, type Clock, type Secret } from '@varve/base';
import { GoogleAuth } from 'google-auth-library';
import { ServiceAccount, type ServiceAccountFile } from './service-account.ts';

const scope = 'https://www.googleapis.com/auth/devstorage.full_control';

export const credentialsHint =
  'Check GOOGLE_APPLICATION_CREDENTIALS (the file of a service account that is not disabled), GOOGLE_ACCESS_TOKEN (valid for an hour), or run `gcloud auth application-default login`.';

export interface GcsCredentials {
  /** Headers for a request; a token is kept until shortly before it expires. */
  authorization(): Promise<Readonly<Record<string, string>>>;
  /** For which a bucket is made; undefined when nothing names one. */
  projectId(): Promise<string | undefined>;
}

export interface GcsAccess {
  readonly token: Secret | undefined;
  readonly keyFile: string | undefined;
  readonly projectId: string | undefined;
  /** An endpoint of somebody's own is shown only what was given for it. */
  readonly isOwnEndpoint: boolean;
  readonly clock: Clock;
}

/** STORAGE_DENIED when the file cannot be read or is none. */
export async function gcsCredentials(access: GcsAccess): Promise<GcsCredentials> {
  const { token, keyFile, projectId, clock } = access;
  if (token) return fixed({ authorization: `Bearer ${token.reveal()}` }, projectId);
  if (keyFile === undefined)
    return access.isOwnEndpoint ? fixed({}, projectId) : found(new GoogleAuth({ scopes: [scope] }), projectId);
  const file = await readKey(keyFile);
  if (file.type !== 'service_account') return found(new GoogleAuth({ scopes: [scope], keyFile }), projectId);
  const account = serviceAccountOf(file, clock);
  return {
    authorization: async () => ({ authorization: `Bearer ${await account.token()}` }),
    projectId: async () => projectId ?? file.project_id,
  };
}

function fixed(headers: Readonly<Record<string, string>>, projectId: string | undefined): GcsCredentials {
  return { authorization: async () => headers, projectId: async () => projectId };
}

function found(auth: GoogleAuth, projectId: string | undefined): GcsCredentials {
  return {
    authorization: async () => {
      try {
        return Object.fromEntries(await auth.getRequestHeaders());
      } catch (error) {
        throw denied(redact(messageOf(error)).replace(/\.$/, ''));
      }
    },
    projectId: async () => projectId ?? (await auth.getProjectId().catch(() => undefined)),
  };
}

type KeyFile = Partial<ServiceAccountFile> & { readonly type?: string };

async function readKey(file: string): Promise<KeyFile> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as KeyFile;
  } catch (error) {
    // The text of a parser's error may repeat a piece of the key.
    const reason = error instanceof SyntaxError ? 'it is not JSON' : messageOf(error);
    throw denied(`the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be read: ${reason}`);
  }
}

function serviceAccountOf({ client_email: email, private_key: key, ...rest }: KeyFile, clock: Clock): ServiceAccount {
  if (email === undefined || key === undefined) throw denied('the file of the service account has no key');
  try {
    return new ServiceAccount({ ...rest, client_email: email, private_key: key }, { scope, clock });
  } catch {
    throw denied(`the key of ${email} cannot be understood`);
  }
}

function denied(reason: string): AppError {
  // Whoever gives tokens may be out of reach for a while.
  const mayPass = /ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|socket hang up/i.test(reason);
  return new AppError(mayPass ? 'STORAGE_UNREACHABLE' : 'STORAGE_DENIED', `Google gives no access: ${reason}.`, {
    hint: credentialsHint,
    retry: mayPass,
  });
}
