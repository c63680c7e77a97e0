// The kinds of entropy models that a model file can hold.

import { TablesModel } from "./activity.js";
import { ContextModel } from "./context.js";
import { FactorizedModel } from "./factorized.js";
import { HyperpriorModel } from "./hyperprior.js";

const KINDS = {
  factorized: FactorizedModel,
  tables: TablesModel,
  context: ContextModel,
  hyperprior: HyperpriorModel,
};

/**
 * @param {string} kind
 * @param {Record<string, import("./safetensors.js").Tensor>} arrays of this kind, without its name
 * @returns {import("./entropy.js").EntropyModel}
 */
export const entropyModel = (kind, arrays) => new KINDS[kind](arrays);
