// the shop
