package origin

import "strconv"

// menuSection is a category of the menu and its dishes.
type menuSection struct {
	category string
	dishes   []dish
}

type dish struct {
	name, description string
	priceCents        int
}

// populationMenu returns the menu that goes with every population.
func populationMenu() []MenuItem {
	var items []MenuItem
	for _, s := range menuSections() {
		for _, d := range s.dishes {
			items = append(items, MenuItem{
				ID: "item_" + strconv.Itoa(len(items)+1), Category: s.category,
				Name: d.name, Description: d.description, PriceCents: d.priceCents,
			})
		}
	}
	return items
}

// dishes returns the names of everything that conversations are about.
func dishes() []string {
	var names []string
	for _, s := range menuSections() {
		for _, d := range s.dishes {
			names = append(names, "the "+d.name)
		}
	}
	return names
}

func menuSections() []menuSection {
	return []menuSection{
		{"Starters", []dish{
			{"roasted beet salad", "Beets from the oven with walnuts, goat's cheese and orange", 890},
			{"lentil fritters", "Red lentils and coriander with a yoghurt dip", 750},
			{"smoked trout toast", "Rye bread, trout, horseradish and dill", 980},
			{"marinated olives", "Green and black olives with lemon and fennel seed", 520},
			{"grilled halloumi", "With honey, thyme and a wedge of melon", 860},
			{"aubergine rolls", "Filled with ricotta and mint, in tomato sauce", 840},
		}},
		{"Soups", []dish{
			{"borscht", "Beetroot, cabbage and beef, with sour cream and dark bread", 790},
			{"pumpkin soup", "With ginger, coconut milk and roasted seeds", 720},
			{"chicken broth", "Clear, with noodles and root vegetables", 690},
			{"fish soup", "The catch of the day with saffron and fennel", 1180},
			{"mushroom soup", "Porcini and barley with a little cream", 780},
		}},
		{"Mains", []dish{
			{"beef stroganoff", "Tender strips of beef in mushroom cream with buckwheat", 1890},
			{"vegetable curry", "Chickpeas, spinach and sweet potato with basmati rice", 1450},
			{"roast chicken", "Half a chicken with potatoes and lemon", 1690},
			{"grilled sea bass", "Whole, with herbs and a fennel salad", 2150},
			{"lamb stew", "Slowly braised with apricots and almonds", 1980},
			{"spinach dumplings", "In brown butter with sage and hard cheese", 1390},
			{"stuffed peppers", "Rice, minced turkey and tomatoes from the oven", 1480},
			{"mushroom risotto", "Stirred to order, with parsley and parmesan", 1560},
			{"pork schnitzel", "Crisp, with cucumber salad and lingonberries", 1720},
		}},
		{"Sides", []dish{
			{"fried potatoes", "With rosemary and coarse salt", 480},
			{"green beans", "With garlic and toasted almonds", 520},
			{"buckwheat", "Cooked in broth with butter", 450},
			{"tomato salad", "With red onion and basil", 580},
			{"bread basket", "Rye and wheat bread, baked in the house", 390},
		}},
		{"Desserts", []dish{
			{"honey cake", "Eight thin layers with sour cream", 680},
			{"baked apple", "With raisins, cinnamon and vanilla sauce", 620},
			{"chocolate tart", "Dark, with sea salt and whipped cream", 720},
			{"lemon sorbet", "Two scoops, with a splash of mint syrup", 540},
			{"cheese plate", "Four cheeses with fig mustard", 980},
			{"rice pudding", "Warm, with cherries", 590},
		}},
		{"Drinks", []dish{
			{"ginger lemonade", "Pressed in the morning, not too sweet", 450},
			{"espresso", "A blend from Ethiopia and Brazil", 260},
			{"flat white", "Double ristretto with steamed milk", 390},
			{"black tea", "A pot for two with lemon", 420},
			{"berry kompot", "Home-made, served cold", 380},
			{"dry cider", "Half a litre, from old apple varieties", 560},
			{"sparkling water", "Three quarters of a litre", 490},
			{"house red wine", "A glass of the grape of the season", 620},
			{"wheat beer", "Half a litre, unfiltered", 540},
		}},
	}
}
