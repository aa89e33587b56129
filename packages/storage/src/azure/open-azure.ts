// `azure:container:/path`, as restic takes it. Credentials: AZURE_STORAGE_CONNECTION_STRING, or AZURE_ACCOUNT_NAME with
// AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS, or else what Azure gives (managed identity, workload identity, the Azure CLI).

import { AppError, Secret } from '@varve/base';
import type { Storage } from '../contract.ts';
import { parseBucketPath } from '../object/bucket-path.ts';
import { ObjectStorage } from '../object/object-storage.ts';
import {
  connectionsOf,
  invalidLocation,
  settingsOf,
  type Environment,
  type OpenStorageOptions,
} from '../open-options.ts';
import { LazyStorage } from '../wrappers/lazy-storage.ts';
import type { AzureAccess } from './azure-client.ts';

const defaultConnections = 5;
const hint = 'Write azure:container:/path.';
const tiers = ['Hot', 'Cool', 'Cold'];

/** Settings: `azure.connections`, `azure.access-tier` (Hot, Cool, Cold). */
export function openAzure(location: string, options: OpenStorageOptions): Storage {
  const settings = settingsOf('azure', ['connections', 'access-tier'], options);
  const connections = connectionsOf(options, settings['connections'], defaultConnections);
  const { bucket: container, prefix } = parseBucketPath(location, hint);
  const tier = settings['access-tier'];
  if (tier !== undefined && !tiers.includes(tier)) {
    throw invalidLocation(`The option azure.access-tier cannot be “${tier}”.`, `There are ${tiers.join(', ')}.`);
  }
  const environment = options.environment ?? {};
  return new LazyStorage({ location, connections }, async () => {
    const { AzureObjectClient } = await import('./azure-client.ts');
    const client = await AzureObjectClient.connect({ container, tier, access: accessOf(environment, location) });
    return new ObjectStorage({ location, connections, prefix, client });
  });
}

function accessOf(environment: Environment, location: string): AzureAccess {
  const connectionString = environment['AZURE_STORAGE_CONNECTION_STRING'];
  if (connectionString) return { kind: 'connection-string', connectionString: new Secret(connectionString) };
  const account = environment['AZURE_ACCOUNT_NAME'];
  if (!account) {
    throw new AppError('STORAGE_DENIED', `There is no account for ${location}.`, {
      hint: 'Set AZURE_ACCOUNT_NAME with AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS, or AZURE_STORAGE_CONNECTION_STRING.',
    });
  }
  const url = `https://${account}.blob.${environment['AZURE_ENDPOINT_SUFFIX'] || 'core.windows.net'}`;
  const key = environment['AZURE_ACCOUNT_KEY'];
  if (key) return { kind: 'key', url, account, key: new Secret(key) };
  const sas = environment['AZURE_ACCOUNT_SAS'];
  if (sas) return { kind: 'sas', url, sas: new Secret(sas.replace(/^\?/, '')) };
  return { kind: 'identity', url };
}
