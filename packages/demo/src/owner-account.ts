// The owner's account of the demonstration's own server, made as a browser makes it at the first start.

import { randomBytes } from 'node:crypto';
import { AppError, Secret } from '@varve/base';

export interface OwnerAccount {
  readonly email: string;
  readonly password: Secret;
}

/** Claims a new server with its setup token. */
export async function createOwner(url: string, setupToken: string): Promise<OwnerAccount> {
  const account: OwnerAccount = {
    email: 'demo@example.com',
    password: new Secret(randomBytes(9).toString('base64url')),
  };
  const response = await fetch(`${url}/api/setup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: url },
    body: JSON.stringify({ name: 'Demo', email: account.email, password: account.password.reveal(), setupToken }),
  });
  if (response.ok) return account;
  throw new AppError('INTERNAL', `The page's account cannot be made: the server answered ${response.status}.`, {
    hint: 'Run the demonstration with `-- --no-serve` to see the story without the page.',
  });
}
